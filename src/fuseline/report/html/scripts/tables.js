// The tables of a plan: its groups, the fusions it misses, its patterns, what was refused.

const Tables = (() => {
  const number = (label, name, text, title) => ({
    label, isNumber: true, title, value: (row) => row[name], text: (row) => text(row[name]),
  });
  const words = (label, name, title) => ({ label, title, value: (row) => row[name], node: (row) => named(String(row[name] ?? "")) });

  // A sentence, cut by the table where it is long.
  const sentence = (label, name, title) => ({ ...words(label, name, title), isLong: true, node: (row) => el("bdi", {}, row[name]) });

  // A figure that leaves unknown ops out says so; it is sorted by what is counted.
  const counted = (label, name, title) => ({
    label, isNumber: true, title, value: (row) => row[name],
    text: (row) => Figures.atLeast(Figures.whole(row[name]), row.unknown_ops),
  });

  const FIGURES = [
    number("bytes moved", "traffic_bytes", Figures.whole, "traffic_bytes"),
    number("saved", "saved_bytes", Figures.whole, "saved_bytes"),
    {
      ...number("µs", "seconds", Figures.microseconds, "seconds one by one, in microseconds; in part where no source gives the rate of other FLOPs"),
      text: (row) => Figures.microseconds(row.seconds) + (row.isPart ? " in part" : ""),
    },
    counted("FLOPs", "flops", "flops"),
    {
      ...number("FLOP/byte", "arithmetic_intensity", Figures.ratio, "arithmetic_intensity"),
      text: (row) => (row.unknown_ops ? ">= " : "") + Figures.ratio(row.arithmetic_intensity),
    },
    number("read", "read_bytes", Figures.whole, "read_bytes"),
    number("parameters", "parameter_bytes", Figures.whole, "parameter_bytes"),
    number("written", "written_bytes", Figures.whole, "written_bytes"),
    { ...counted("other FLOPs", "other_flops", "other_flops"), isOnScreen: true },
  ];
  const SUMMED = ["traffic_bytes", "saved_bytes", "seconds", "flops", "read_bytes", "parameter_bytes", "written_bytes", "other_flops", "unknown_ops"];

  const groups = new Grid(byId("groups-table"), {
    name: "groups",
    rowName: "group",
    chosen: () => State.now.group,
    act: (row) => Picture.goTo(row.key),
    sums: sumsOf,
    columns: [
      { label: "#", isNumber: true, value: (row) => row.id, text: (row) => String(row.id) },
      words("pattern", "label"),
      words("module", "module"),
      words("bound by", "bottleneck"),
      words("breaks", "breaks", "the rule by which it is no kernel; empty where it is one, and in a cover"),
      ...FIGURES,
      {
        label: "compute ops", isNumber: true, isOnScreen: true, title: "ops that read or write device memory", value: (row) => row.computing.length,
        text: (row) => `${row.computing.length} ${row.ops.map((id) => Data.ops[id].name).join(" ")}`, node: (row) => Figures.whole(row.computing.length),
      },
      { ...number("others", "silent", Figures.whole, "views and control ops: no bytes, no launch"), isOnScreen: true },
      { ...words("alone, because", "alone", "of a group of one compute op"), isLong: true, isCut: true, isOnScreen: true },
    ],
  });

  // The sum over the rows; kernels besides the groups in a row of their own, so that the last row
  // is the plan's total.
  function sumsOf(rows, isAll) {
    const { plan } = State.plan();
    const sum = Object.fromEntries(SUMMED.map((name) => [name, rows.reduce((all, row) => all + (row[name] ?? 0), 0)]));
    sum.arithmetic_intensity = sum.traffic_bytes ? sum.flops / sum.traffic_bytes : null;
    sum.isPart = rows.some((row) => row.isPart);
    if (plan.seconds === null) sum.seconds = null;
    const lines = [line(isAll ? "sum" : "sum of these", rows, sum)];
    if (!isAll || !plan.extra_launches) return lines;
    const none = Object.fromEntries([...SUMMED, "arithmetic_intensity"].map((name) => [name, null]));
    const extra = { ...none, traffic_bytes: plan.extra_traffic_bytes, saved_bytes: -plan.extra_traffic_bytes };
    if (plan.seconds !== null) extra.seconds = plan.seconds - sum.seconds;
    const total = { ...sum, traffic_bytes: plan.traffic_bytes, saved_bytes: plan.saved_bytes, seconds: plan.seconds };
    total.arithmetic_intensity = plan.arithmetic_intensity;
    return [...lines, line(`${Figures.count(plan.extra_launches, "kernel")} besides the groups`, null, extra), line("the plan", null, total)];
  }

  function line(name, rows, sum) {
    const ops = (of) => (rows ? Figures.whole(rows.reduce((all, row) => all + of(row), 0)) : "");
    const figures = FIGURES.map((column) => column.text(sum));
    return [name, "", "", "", "", ...figures, ops((row) => row.computing.length), ops((row) => row.silent), ""];
  }

  const missed = new Grid(byId("missed-table"), {
    name: "missed fusions",
    rowName: "way",
    act: (row) => Picture.goTo(row.source),
    opens: true,
    sorted: { column: 0, down: true },
    columns: [
      number("saved by all", "total_bytes", Figures.whole, "bytes that one kernel for each of these pairs saves, where no two share a group"),
      number("saved each", "saved_bytes", Figures.whole, "bytes that one kernel for one pair saves"),
      number("pairs", "count", Figures.whole),
      sentence("what it takes", "remedy", "the least that would make the first pair one kernel"),
      words("groups", "pair", "the groups of the first pair"),
      { label: "legal under T", title: "rules T allow that kernel as it is", value: (row) => (row.legal ? "yes" : "no"), node: (row) => el("span", { class: row.legal ? "yes" : "no" }, row.legal ? "yes" : "no") },
      sentence("why", "reason", "what keeps them apart"),
      words("kept apart by", "rule"),
      { ...words("first op", "from_"), isOnScreen: true },
      { ...words("to", "to"), isOnScreen: true },
    ],
  });

  const patterns = new Grid(byId("patterns-table"), {
    name: "patterns",
    rowName: "pattern",
    columns: [
      words("pattern", "name"),
      number("groups", "count", Figures.whole),
      number("compute ops each", "compute_ops", Figures.whole, "of its first group"),
      number("bytes moved", "traffic_bytes", Figures.whole),
      number("unfused", "unfused_traffic_bytes", Figures.whole),
      number("saved", "saved_bytes", Figures.whole),
      counted("FLOPs", "flops"),
      number("unknown ops", "unknown_ops", Figures.whole),
    ],
  });

  const rules = new Grid(byId("refusals-table"), {
    name: "refusals by rule",
    rowName: "rule",
    act: (row) => Picture.goTo(row.group),
    opens: true,
    columns: [
      words("rule", "rule"),
      number("refusals", "count", Figures.whole),
      number("costliest, bytes", "most_bytes", Figures.whole),
      words("from", "from"),
      words("to", "to"),
      sentence("why", "reason"),
    ],
  });

  function fill() {
    const plan = State.plan();
    const all = byId("all-groups").checked;
    const silent = plan.groups.filter((group) => !group.launched).length;
    byId("groups-note").textContent = silent ? `${Figures.count(silent, "group")} of views alone launch nothing and move nothing.` : "";
    byId("all-groups").closest("label").hidden = !silent;
    groups.fill(plan.groups.filter((group) => all || group.launched).map((group) => ({ ...group, key: group.id, breaks: plan.broken.get(group.id) ?? "" })));
    const label = (id) => plan.byId.get(id).label;
    missed.fill(plan.missed.map((row, key) => ({ ...row, key, pair: `${label(row.source)} → ${label(row.target)}` })));
    byId("missed-rest").textContent = plan.missed_rest;
    patterns.fill(plan.pattern_rows.map((row, key) => ({ ...row, key })));
    const ids = new Map(plan.refusals.map((row) => [Data.ops[row.from].name, row.from]));
    rules.fill(plan.rules.map((row, key) => ({ ...row, key, group: plan.groupOf.get(ids.get(row.from))?.id })));
  }

  byId("all-groups").addEventListener("change", fill);

  // The row of what is chosen, whatever the filter says, on screen.
  function reveal() {
    if (!groups.show(State.now.group)) {
      groups.clear();
      groups.show(State.now.group);
    }
    const row = groups.body.querySelector(".selected");
    row?.scrollIntoView({ block: "center" });
    row?.querySelector("button")?.focus({ preventScroll: true });
  }

  const all = [groups, missed, patterns, rules];
  window.addEventListener("beforeprint", () => all.forEach((grid) => grid.print(true)));
  window.addEventListener("afterprint", () => all.forEach((grid) => grid.print(false)));

  return { fill, mark: () => groups.show(State.now.group), reveal };
})();
