-- What the page of the zoo asks of a sweep's rows. Each query follows what `zoo_classes.py` makes:
-- `zoo` (every row with figures), `one` (those at batch 1 on the H100), `best` (proven optima under
-- T). Figures are medians and quantiles over models: a sum or a mean would speak of the few
-- largest. A line `-- NAME` begins a query; columns are printed as `zoo_queries.COLUMNS` says.

-- class_sizes
select class, count(*) as models, count(*) filter (zoo = 'torchvision') as torchvision,
  count(*) filter (zoo = 'timm') as timm, count(*) filter (zoo = 'hf') as transformers
from one where strategy = 'fusion'
group by class order by class

-- classes
select class, count(*) as models,
  median(unfused_launches / launches) as launches,
  median(saved) as reduction,
  quantile_cont(saved, 0.1) as reduction_10,
  quantile_cont(saved, 0.9) as reduction_90,
  median(compulsory_bytes / traffic_bytes) as compulsory,
  median(flops / unfused_traffic_bytes) filter (unknown_ops = 0) as unfused_intensity,
  median(per_byte) as intensity,
  mode(bottleneck) as bottleneck,
  count(*) filter (unknown_ops > 0) as with_unknown
from one where strategy = 'optimal' and is_optimal
group by class order by class

-- seed
select class, count(*) as models,
  median(fusion_efficiency) as efficiency,
  quantile_cont(fusion_efficiency, 0.1) as efficiency_10,
  quantile_cont(fusion_efficiency, 0.9) as efficiency_90,
  median(saved) as reduction, median(per_byte) as intensity,
  count(*) filter (bottleneck = 'bandwidth') / count(*) as bandwidth,
  count(*) filter (illegal_groups > 0) as with_illegal
from one where strategy = 'fusion'
group by class order by class

-- gaps
select zoos, strategy, count(*) as models,
  median(gap_to_optimal) as gap, quantile_cont(gap_to_optimal, 0.9) as gap_90,
  max(gap_to_optimal) as gap_most, arg_max(model, gap_to_optimal) as farthest,
  count(*) filter (gap_to_optimal = 0) / count(*) as reached,
  count(*) filter (gap_to_optimal < 0) as below,
  case when bool_or(kind = 'cover') then null
    else count(*) filter (illegal_groups > 0) end as with_illegal
from (
  select *, max(planned) over (partition by zoos) as most
  from (
    select *, case when zoo = 'hf' then 'transformers' else 'torchvision, timm' end as zoos,
      count(*) over (partition by model) as planned
    from one where strategy <> 'optimal' and decode is null and gap_to_optimal is not null
  )
)
where planned = most
group by zoos, strategy order by zoos, gap, strategy

-- gaps_by_class
select class, strategy, count(gap_to_optimal) as models, median(gap_to_optimal) as gap,
  quantile_cont(gap_to_optimal, 0.1) as gap_10, quantile_cont(gap_to_optimal, 0.9) as gap_90,
  count(*) filter (gap_to_optimal = 0) / count(gap_to_optimal) as reached
from one
where strategy in ('inductor', 'tvm', 'onnxruntime', 'tensorrt')
  and (zoo = 'hf') = (class in ('encoder', 'LLM prefill', 'LLM decode'))
group by class, strategy having models > 0 order by class, strategy

-- nearest
select zoo, family, count(*) as models, median(gap) as gap, max(gap) as gap_most,
  arg_max(model, gap) as farthest, mode(class) as class
from (
  select zoo, family, model, any_value(class) as class, min(gap_to_optimal) as gap
  from one where strategy in ('inductor', 'tvm', 'onnxruntime', 'tensorrt') and decode is null
  group by zoo, family, model having count(gap_to_optimal) = 4
)
group by zoo, family having models >= 3 order by gap desc, zoo, family limit 15

-- bound
select class, batch, device, count(*) as models,
  count(*) filter (bottleneck = 'launch') / count(*) as launch,
  count(*) filter (bottleneck = 'bandwidth') / count(*) as bandwidth,
  count(*) filter (bottleneck = 'compute') / count(*) as compute,
  count(*) filter (bottleneck = 'vector') / count(*) as vector
from best
group by class, batch, device order by class, batch, device

-- batches
select class, count(*) as models, median(r1) as reduction_one, median(r64) as reduction_many,
  median(i1) as intensity_one, median(i64) as intensity_many
from (
  select model, any_value(class) as class,
    any_value(saved) filter (batch = 1) as r1,
    any_value(saved) filter (batch = 64) as r64,
    any_value(per_byte) filter (batch = 1) as i1,
    any_value(per_byte) filter (batch = 64) as i64
  from best where device = 'h100-sxm' and decode is null
  group by model having count(distinct batch) = 2
)
group by class order by class

-- steps
select case when decode is null then 'prefill' else 'decode' end as step, count(*) as models,
  median(saved) as reduction, median(unfused_launches / launches) as launches,
  median(parameter_bytes / traffic_bytes) as parameters,
  median(compulsory_bytes / traffic_bytes) as compulsory,
  median(per_byte) as intensity,
  count(*) filter (bottleneck = 'launch') / count(*) as launch,
  count(*) filter (bottleneck = 'bandwidth') / count(*) as bandwidth
from (
  select *, count(*) over (partition by model) as ways
  from one where strategy = 'optimal' and is_optimal and class in ('LLM prefill', 'LLM decode')
)
where ways = 2
group by step order by step desc

-- fuses_well
select zoo, family, count(*) as models, mode(class) as class,
  median(unfused_launches / launches) as launches, median(saved) as reduction,
  min(saved) as reduction_least, max(saved) as reduction_most,
  median(per_byte) as intensity, mode(bottleneck) as bottleneck
from one
where strategy = 'optimal' and is_optimal and zoo <> 'hf'
group by zoo, family having models >= 3 order by reduction desc, zoo, family limit 15

-- fuses_little
select zoo, family, count(*) as models, mode(class) as class,
  median(unfused_launches / launches) as launches, median(saved) as reduction,
  min(saved) as reduction_least, max(saved) as reduction_most,
  median(per_byte) as intensity, mode(bottleneck) as bottleneck
from one
where strategy = 'optimal' and is_optimal and zoo <> 'hf'
group by zoo, family having models >= 3 order by reduction, zoo, family limit 15

-- transformers_well
select model, class, unfused_launches / launches as launches, saved as reduction,
  per_byte as intensity, bottleneck
from one where strategy = 'optimal' and is_optimal and zoo = 'hf' and decode is null
order by reduction desc, model limit 15

-- transformers_little
select model, class, unfused_launches / launches as launches, saved as reduction,
  per_byte as intensity, bottleneck
from one where strategy = 'optimal' and is_optimal and zoo = 'hf' and decode is null
order by reduction, model limit 15

-- families
select zoo, family, count(*) as models, mode(class) as class,
  median(unfused_launches / launches) as launches, median(saved) as reduction,
  median(per_byte) as intensity, mode(bottleneck) as bottleneck
from one
where strategy = 'optimal' and is_optimal and decode is null
group by zoo, family order by zoo, family

-- failed
select status, why, refused, count(*) as captures, list_sort(list(distinct model)) as names
from (
  select model, batch, status, why,
    case when count(distinct strategy) = any_value(asked) then 'every strategy'
      else string_agg(distinct strategy, ', ' order by strategy) end as refused
  from (
    select model, batch, strategy, status, asked, regexp_replace(regexp_replace(
      case when starts_with(reason, strategy || ': ') then substr(reason, length(strategy) + 3)
        else reason end, '''[^'']*''', '...', 'g'), '\d[\d,.]*', 'N', 'g') as why
    from (
      select *, count(distinct strategy) over (partition by model, batch) as asked
      from results where decode is null
    )
    where status <> 'ok'
  )
  group by model, batch, status, why
)
group by status, why, refused order by captures desc, status, why, refused

-- lacking
select count(distinct (model, batch)) as captures
from results where status <> 'ok' and decode is null

-- broken
select model, batch, decode, device, illegal_groups, traffic_bytes, lower_bound_bytes
from results
where status = 'ok' and is_optimal
  and (illegal_groups is distinct from 0 or traffic_bytes is distinct from lower_bound_bytes)
order by model, batch, decode, device limit 1

-- no_step
select status, why, count(*) as models
from (
  select distinct model, status, regexp_replace(
    regexp_replace(reason, '''[^'']*''', '...', 'g'), '\d[\d,.]*', 'N', 'g') as why
  from results where status <> 'ok' and decode is not null
)
group by status, why order by models desc, status, why

-- unproven
select model, batch, decode, max(gap) as proof_gap
from zoo where strategy = 'optimal' and not is_optimal and device = 'h100-sxm'
group by model, batch, decode order by proof_gap desc nulls first, model, batch, decode

-- reductions
select class, strategy, count(*) as models,
  quantile_cont(saved, 0.1) as reduction_10,
  quantile_cont(saved, 0.25) as reduction_25,
  median(saved) as reduction,
  quantile_cont(saved, 0.75) as reduction_75,
  quantile_cont(saved, 0.9) as reduction_90
from one where strategy = 'fusion' or (strategy = 'optimal' and is_optimal)
group by class, strategy order by class, strategy
