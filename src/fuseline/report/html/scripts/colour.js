// What colour a group has: by what bounds it, or by the module that it belongs to.

const Colour = (() => {
  const MODULES = 8; // colours; what comes after the modules that move most is grey
  const known = new Map(); // plan -> module -> place among the colours

  const ofBottleneck = (name) => `var(--fill-${name || "unknown"})`;

  const DEPTHS = [1, 2, 3, 4];
  const MOST = 0.85; // of all bytes: names of which one has more tell nothing apart

  const pathOf = (group) => {
    const piece = State.plan().pieceOf.get(group.id);
    return piece ? piece.parent.path : group.module;
  };

  // The module's own name, without a number: copies of a layer have one colour.
  function ownName(group) {
    const path = pathOf(group);
    const parts = path.split(".").filter((part) => !/^\d+$/.test(part));
    return (parts.at(-1) ?? path).replace(/_?\d+$/, "") || path || Data.model.name;
  }

  // Where modules have no names of their own (blocks of a CNN), the outermost that tell groups apart.
  function outerName(depth) {
    return (group) => pathOf(group).split(".").slice(0, depth).join(".") || Data.model.name;
  }

  function bytesBy(groups, name) {
    const bytes = new Map();
    for (const group of groups) bytes.set(name(group), (bytes.get(name(group)) ?? 0) + group.traffic_bytes);
    return [...bytes].sort((one, other) => other[1] - one[1]);
  }

  // Modules, those that move most first; and which of them each group is in.
  function modules() {
    const plan = State.plan();
    if (!known.has(plan)) {
      const groups = plan.groups.filter((group) => group.launched);
      const names = [ownName, ...DEPTHS.map(outerName)];
      const isTelling = (name) => {
        const bytes = bytesBy(groups, name);
        return bytes.length > 2 && bytes[0][1] < MOST * plan.total;
      };
      const name = names.find(isTelling) ?? ownName;
      for (const group of groups) group.home = name(group);
      known.set(plan, new Map(bytesBy(groups, name).map(([found], place) => [found, place])));
    }
    return known.get(plan);
  }

  function ofModule(name) {
    const place = modules().get(name);
    return place < MODULES ? `var(--module-${place})` : "var(--fill-unknown)";
  }

  function ofGroup(group) {
    if (State.now.colour === "module") return ofModule((modules(), group.home));
    return ofBottleneck(group.bottleneck);
  }

  // The legend: a colour, a name, and what it means.
  function legend() {
    if (State.now.colour !== "module") {
      const counts = State.plan().plan.bottlenecks.counts;
      return Object.keys(counts).map((name) => [ofBottleneck(name), `${name}: ${Facts.whyBound(name)}`]);
    }
    const names = [...modules().keys()];
    const shown = names.slice(0, MODULES).map((name) => [ofModule(name), name]);
    const more = names.length - MODULES;
    return more > 0 ? [...shown, ["var(--fill-unknown)", Figures.count(more, "more module")]] : shown;
  }

  return { legend, ofBottleneck, ofGroup };
})();
