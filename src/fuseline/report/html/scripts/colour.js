// What colour a group has: by what bounds it, or by the module that it belongs to.

const Colour = (() => {
  const MODULES = 8; // colours; what comes after the modules that move most is grey
  let known = null; // { name, places }: how modules are called, and which has which colour

  const ofBottleneck = (name) => `var(--fill-${name || "unknown"})`;

  const DEPTHS = [1, 2, 3, 4];
  const MOST = 0.85; // of all bytes: names of which one has more tell nothing apart

  // The module's own name, without a number: copies of a layer have one colour.
  function ownName(path) {
    const parts = path.split(".").filter((part) => !/^\d+$/.test(part));
    return (parts.at(-1) ?? path).replace(/_?\d+$/, "") || path || Data.model.name;
  }

  // Where modules have no names of their own (blocks of a CNN), the outermost that tell ops apart.
  const outerName = (depth) => (path) => path.split(".").slice(0, depth).join(".") || Data.model.name;

  function bytesBy(ops, name) {
    const bytes = new Map();
    for (const op of ops) bytes.set(name(op.module), (bytes.get(name(op.module)) ?? 0) + op.traffic_bytes);
    return [...bytes].sort((one, other) => other[1] - one[1]);
  }

  // By the model's ops, not by a plan's groups: a module has one colour under every strategy. Those
  // whose ops move most come first.
  function modules() {
    if (!known) {
      const ops = Data.ops.filter((op) => op.is_compute);
      const total = ops.reduce((sum, op) => sum + op.traffic_bytes, 0);
      const isTelling = (name) => {
        const bytes = bytesBy(ops, name);
        return bytes.length > 2 && bytes[0][1] < MOST * total;
      };
      const name = [ownName, ...DEPTHS.map(outerName)].find(isTelling) ?? ownName;
      known = { name, places: new Map(bytesBy(ops, name).map(([found], place) => [found, place])) };
    }
    return known;
  }

  function ofModule(name) {
    const place = modules().places.get(name);
    return place < MODULES ? `var(--module-${place})` : "var(--fill-unknown)";
  }

  function ofGroup(group) {
    if (State.now.colour === "module") return ofModule(modules().name(group.module));
    return ofBottleneck(group.bottleneck);
  }

  // The legend: a colour, a name, and what it means.
  function legend() {
    if (State.now.colour !== "module") {
      const counts = State.plan().plan.bottlenecks.counts;
      return Object.keys(counts).map((name) => [ofBottleneck(name), `${name}: ${Facts.whyBound(name)}`]);
    }
    const { name, places } = modules();
    const present = new Set(State.plan().groups.filter((group) => group.launched).map((group) => name(group.module)));
    const names = [...present].sort((one, other) => (places.get(one) ?? Infinity) - (places.get(other) ?? Infinity));
    const [own, grey] = [names.filter((found) => places.get(found) < MODULES), names.filter((found) => !(places.get(found) < MODULES))];
    const shown = own.map((found) => [ofModule(found), found]);
    const more = grey.length;
    return more > 0 ? [...shown, ["var(--fill-unknown)", Figures.count(more, "more module")]] : shown;
  }

  return { legend, ofBottleneck, ofGroup };
})();
