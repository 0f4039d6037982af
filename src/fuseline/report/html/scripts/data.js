// The JSON in the page, read. A plan is read when it is first looked at. `documents.py` wrote it:
// what repeats is written once (`of`), and which of them stands where (`at`).

const Data = (() => {
  const UNFUSED = "Unfused"; // the pattern of what nothing joined
  const NAMELESS = new Set(["", UNFUSED, "Method call"]); // patterns that say nothing of a kernel
  const HOLE = "\uFFFD";
  const read = (id) => JSON.parse(byId(id).textContent);

  const listed = (coded) => coded.at.map((place) => coded.of[place]);

  // Distances back to numbers.
  function summed(steps) {
    let last = 0;
    return steps.map((step) => (last += step));
  }

  // Sentences with the names of ops put back where the holes are.
  function spoken(coded, names) {
    return coded.at.map((place, row) => {
      const holes = coded.ops[row];
      if (!holes.length) return coded.of[place];
      let next = 0;
      return coded.of[place].split(HOLE).reduce((said, part) => said + names[holes[next++]] + part);
    });
  }

  // Objects from rows; rows alike share one.
  function objects(coded) {
    const made = coded.of.map((row) =>
      Object.fromEntries(coded.fields.map((field, place) => [field, row[place]])));
    return coded.at.map((place) => made[place]);
  }

  const model = read("data-model");
  const ops = readOps(model.ops);
  const plans = new Map();

  function readOps(coded) {
    const figures = objects(coded.rows);
    const modules = listed(coded.modules);
    return coded.names.map((name, id) => ({
      ...figures[id],
      id,
      name,
      module: modules[id],
      inputs: figures[id].inputs.map((place) => coded.shapes[place]),
      outputs: figures[id].outputs.map((place) => coded.shapes[place]),
    }));
  }

  function plan(place) {
    if (!plans.has(place)) plans.set(place, decoded(read(`data-plan-${place}`)));
    return plans.get(place);
  }

  function decoded(found) {
    const names = model.ops.names;
    const made = { ...found, groups: readGroups(found, names), root: readOutline(found.outline) };
    made.byId = new Map(made.groups.map((group) => [group.id, group]));
    made.illegal = readIllegal(found.illegal, names);
    made.broken = new Map(made.illegal.map((row) => [row.group, row.rule]));
    made.pieces = [];
    made.pieceOf = new Map();
    made.leaves = []; // groups in the outline's order: a piece has those from `first` up to `end`
    link(made.root, null, made);
    made.edges = readEdges(found.edges);
    made.refusals = readRefusals(found.refusals, names);
    made.groupOf = new Map();
    for (const group of made.groups) {
      for (const op of group.ops) if (!made.groupOf.has(op)) made.groupOf.set(op, group);
    }
    made.most = made.groups.reduce((most, group) => Math.max(most, group.traffic_bytes), 1);
    made.total = made.root.totals.traffic_bytes || 1;
    return made;
  }

  function readGroups(found, names) {
    const figures = objects(found.groups);
    const [patterns, modules] = [listed(found.patterns), listed(found.modules)];
    const [ids, members] = [summed(found.ids), summed(found.ops)];
    const alone = spoken(found.alone, names);
    let start = 0;
    return ids.map((id, place) => {
      const end = start + found.sizes[place];
      const group = {
        ...figures[place],
        id,
        pattern: patterns[place],
        module: modules[place],
        ops: members.slice(start, end),
      };
      start = end;
      group.computing = group.ops.filter((id) => ops[id].is_compute);
      group.alone = group.computing.length > 1 ? "" : alone[place];
      group.silent = group.ops.length - group.computing.length;
      // Other work whose rate no source gives is in no time.
      group.isPart = group.seconds !== null && group.vector_seconds === null;
      group.label = labelOf(group);
      return group;
    });
  }

  // A group that nothing joined is called after what it computes.
  function labelOf(group) {
    if (!NAMELESS.has(group.pattern)) return group.pattern;
    const named = ops[group.computing[0] ?? group.ops[0]];
    return named ? named.target : group.pattern;
  }

  function readOutline(coded) {
    const [kinds, names, totals] = [listed(coded.kinds), listed(coded.names), objects(coded.totals)];
    let [next, group] = [0, 0];
    return grow();
    function grow() {
      const id = next++;
      const piece = { id, kind: kinds[id], name: names[id], totals: totals[id], group: null };
      if (piece.kind === "group") piece.group = coded.groups[group++];
      piece.children = Array.from({ length: coded.children[id] }, grow);
      return piece;
    }
  }

  // Parents, paths, and where each group's piece is.
  function link(piece, parent, made) {
    piece.parent = parent;
    piece.path = pathOf(piece, parent);
    piece.first = made.leaves.length;
    made.pieces.push(piece);
    if (piece.kind === "group") {
      made.leaves.push(piece.group);
      made.pieceOf.set(piece.group, piece);
      const group = made.byId.get(piece.group);
      piece.name = group.label;
      piece.unknown = group.unknown_ops;
      piece.broken = made.broken.has(group.id) ? 1 : 0;
      piece.partly = group.isPart ? 1 : 0;
    }
    piece.children.forEach((child, place) => {
      child.place = place;
      link(child, piece, made);
    });
    piece.end = made.leaves.length;
    for (const name of piece.children.length ? ["unknown", "broken", "partly"] : []) {
      piece[name] = piece.children.reduce((sum, child) => sum + child[name], 0);
    }
    if (piece.kind === "repeat" || piece.kind === "copy") piece.name = spelled(piece, made);
  }

  // A repeat of groups that nothing joined is called after what they compute, as they are.
  function spelled(piece, made) {
    const parts = piece.name.split(" … ");
    const ends = [made.leaves[piece.first], made.leaves[piece.end - 1]];
    const place = (part) => (part === 0 ? ends[0] : ends[1]);
    return parts.map((part, at) => (part === UNFUSED ? made.byId.get(place(at)).label : part)).join(" … ");
  }

  // The module's path: a repeat, and a copy of several modules, add nothing to it.
  function pathOf(piece, parent) {
    const above = parent ? parent.path : "";
    const isModule = piece.kind === "module" || (piece.kind === "copy" && !piece.name.includes(" … "));
    return isModule && piece.name ? (above ? `${above}.${piece.name}` : piece.name) : above;
  }

  function readEdges(coded) {
    const [sources, targets, bytes] = [summed(coded.source), summed(coded.target), listed(coded.bytes)];
    return sources.map((source, place) => ({ source, target: targets[place], bytes: bytes[place] }));
  }

  function readRefusals(coded, names) {
    const [from, to, rules] = [summed(coded.from), summed(coded.to), listed(coded.rule)];
    const [reasons, bytes] = [spoken(coded.reason, names), listed(coded.bytes)];
    return from.map((op, place) => ({
      from: op, to: to[place], rule: rules[place], reason: reasons[place], bytes: bytes[place],
    }));
  }

  function readIllegal(coded, names) {
    const [rules, reasons] = [listed(coded.rule), spoken(coded.reason, names)];
    return coded.group.map((group, place) => ({ group, rule: rules[place], reason: reasons[place] }));
  }

  const charts = new Map();
  function chart(place) {
    if (!charts.has(place)) charts.set(place, read(`data-charts-${place}`));
    return charts.get(place);
  }

  return { ...model, ops, plan, chart, theme: read("data-theme"), meanings: read("data-meanings") };
})();
