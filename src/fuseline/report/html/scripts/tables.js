// The tables of a plan: its groups, the fusions it misses, its patterns, what was refused.

const Tables = (() => {
  const number = (label, name, text, title) => ({
    label, isNumber: true, title, value: (row) => row[name], text: (row) => text(row[name]),
  });
  const words = (label, name, title) => ({ label, title, value: (row) => row[name], node: (row) => named(String(row[name] ?? "")) });

  const FIGURES = [
    number("bytes moved", "traffic_bytes", Figures.whole, "traffic_bytes"),
    number("read", "read_bytes", Figures.whole, "read_bytes"),
    number("parameters", "parameter_bytes", Figures.whole, "parameter_bytes"),
    number("written", "written_bytes", Figures.whole, "written_bytes"),
    number("saved", "saved_bytes", Figures.whole, "saved_bytes"),
    number("FLOPs", "flops", Figures.whole, "flops"),
    number("other FLOPs", "other_flops", Figures.whole, "other_flops"),
    number("FLOP/byte", "arithmetic_intensity", Figures.ratio, "arithmetic_intensity"),
    number("µs", "seconds", Figures.microseconds, "seconds, in microseconds"),
  ];
  const SUMMED = new Set(["traffic_bytes", "read_bytes", "parameter_bytes", "written_bytes", "saved_bytes", "flops", "other_flops", "seconds"]);
  const NAMES = ["traffic_bytes", "read_bytes", "parameter_bytes", "written_bytes", "saved_bytes", "flops", "other_flops", "arithmetic_intensity", "seconds"];

  const groups = new Grid(byId("groups-table"), {
    name: "groups",
    rowName: "group",
    chosen: () => State.now.group,
    act: (row) => State.select(row.key),
    sums: sumsOf,
    columns: [
      { label: "#", isNumber: true, value: (row) => row.id, text: (row) => String(row.id) },
      words("pattern", "label"),
      words("module", "module"),
      { label: "ops", isNumber: true, value: (row) => row.ops.length, text: (row) => `${row.ops.length} ${row.ops.map((id) => Data.ops[id].name).join(" ")}`, node: (row) => Figures.whole(row.ops.length) },
      words("bound by", "bottleneck"),
      ...FIGURES,
      words("breaks", "breaks", "a rule that compilers keep to"),
      { ...words("alone, because", "alone"), isLong: true, isCut: true },
    ],
  });

  // The sum over the rows; kernels besides the groups in a row of their own, so that the last row
  // is the plan's total.
  function sumsOf(rows, isAll) {
    const { plan } = State.plan();
    const sum = Object.fromEntries(NAMES.map((name) => [name, SUMMED.has(name) ? rows.reduce((all, row) => all + (row[name] ?? 0), 0) : null]));
    sum.arithmetic_intensity = sum.traffic_bytes ? sum.flops / sum.traffic_bytes : null;
    if (plan.seconds === null) sum.seconds = null;
    const lines = [line(isAll ? "sum" : "sum of these", rows, sum)];
    if (!isAll || !plan.extra_launches) return lines;
    const extra = { ...Object.fromEntries(NAMES.map((name) => [name, null])), traffic_bytes: plan.extra_traffic_bytes, saved_bytes: -plan.extra_traffic_bytes };
    if (plan.seconds !== null) extra.seconds = plan.seconds - sum.seconds;
    const total = { ...sum, traffic_bytes: plan.traffic_bytes, saved_bytes: plan.saved_bytes, seconds: plan.seconds };
    total.arithmetic_intensity = plan.arithmetic_intensity;
    return [...lines, line(`${Figures.count(plan.extra_launches, "kernel")} besides the groups`, null, extra), line("the plan", null, total)];
  }

  function line(name, rows, sum) {
    const cells = NAMES.map((key, place) => FIGURES[place].text(sum));
    return [name, "", "", rows ? Figures.whole(rows.reduce((all, row) => all + row.ops.length, 0)) : "", "", ...cells, "", ""];
  }

  const missed = new Grid(byId("missed-table"), {
    name: "missed fusions",
    rowName: "way",
    act: (row) => goTo(row.source),
    columns: [
      { label: "saved", isNumber: true, value: (row) => row.saved_bytes, text: (row) => Figures.whole(row.saved_bytes), title: "bytes that one kernel for a pair saves" },
      number("pairs", "count", Figures.whole),
      words("groups", "patterns"),
      { label: "legal under T", value: (row) => (row.legal ? "yes" : "no"), node: (row) => el("span", { class: row.legal ? "yes" : "no" }, row.legal ? "yes" : "no") },
      { ...words("what it takes", "remedy"), isLong: true },
      { ...words("why", "reason"), isLong: true },
      words("kept apart by", "rule"),
      words("first op", "from_"),
      words("to", "to"),
    ],
  });

  const patterns = new Grid(byId("patterns-table"), {
    name: "patterns",
    rowName: "pattern",
    columns: [
      words("pattern", "name"),
      number("groups", "count", Figures.whole),
      number("ops each", "ops", Figures.whole),
      number("bytes moved", "traffic_bytes", Figures.whole),
      number("unfused", "unfused_traffic_bytes", Figures.whole),
      number("saved", "saved_bytes", Figures.whole),
      number("FLOPs", "flops", Figures.whole),
      number("unknown ops", "unknown_ops", Figures.whole),
    ],
  });

  const rules = new Grid(byId("refusals-table"), {
    name: "refusals by rule",
    rowName: "rule",
    act: (row) => goTo(row.group),
    columns: [
      words("rule", "rule"),
      number("refusals", "count", Figures.whole),
      number("costliest, bytes", "most_bytes", Figures.whole),
      words("from", "from"),
      words("to", "to"),
      { ...words("why", "reason"), isLong: true },
    ],
  });

  // Chooses a group, and shows it in the picture.
  function goTo(id) {
    const piece = State.plan().pieceOf.get(id);
    if (!piece) return;
    Picture.uncover(piece);
    State.select(id);
    byId("partition").scrollIntoView({ block: "start" });
  }

  function fill() {
    const plan = State.plan();
    const all = byId("all-groups").checked;
    const silent = plan.groups.filter((group) => !group.launched).length;
    byId("groups-note").textContent = silent ? `${Figures.count(silent, "group")} of views alone launch nothing and move nothing.` : "";
    byId("all-groups").closest("label").hidden = !silent;
    groups.fill(plan.groups.filter((group) => all || group.launched).map((group) => ({ ...group, key: group.id, breaks: plan.broken.get(group.id) ?? "" })));
    missed.fill(plan.missed.map((row, key) => ({ ...row, key })));
    byId("missed-rest").textContent = plan.missed_rest;
    patterns.fill(plan.pattern_rows.map((row, key) => ({ ...row, key })));
    const ids = new Map(plan.refusals.map((row) => [Data.ops[row.from].name, row.from]));
    rules.fill(plan.rules.map((row, key) => ({ ...row, key, group: plan.groupOf.get(ids.get(row.from))?.id })));
  }

  byId("all-groups").addEventListener("change", fill);

  return { fill, goTo, mark: () => groups.show(State.now.group) };
})();
