// What colour a group has: by what bounds it, or by the module that it belongs to.

const Colour = (() => {
  const MODULES = 8; // colours; what comes after the modules that move most is grey
  const known = new Map(); // plan -> module -> place among the colours

  const ofBottleneck = (name) => `var(--fill-${name || "unknown"})`;

  // The module's own name, without a number: copies of a layer have one colour.
  function moduleOf(group) {
    const piece = State.plan().pieceOf.get(group.id);
    const path = piece ? piece.parent.path : group.module;
    if (!path) return Data.model.name;
    const parts = path.split(".").filter((part) => !/^\d+$/.test(part));
    return (parts.at(-1) ?? path).replace(/_?\d+$/, "") || path;
  }

  function modules() {
    const plan = State.plan();
    if (!known.has(plan)) {
      const bytes = new Map();
      for (const group of plan.groups) {
        if (!group.launched) continue;
        group.home = moduleOf(group);
        bytes.set(group.home, (bytes.get(group.home) ?? 0) + group.traffic_bytes);
      }
      const sorted = [...bytes].sort((one, other) => other[1] - one[1]);
      known.set(plan, new Map(sorted.map(([name], place) => [name, place])));
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
