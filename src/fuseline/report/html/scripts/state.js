// What is being looked at. One place holds it; everything else listens. The address holds it too,
// so that a link reopens the page as it was.

const State = (() => {
  const INPUT = -1; // where bytes of the model's inputs come from
  const OUTPUT = -2; // where bytes go that outlive the run
  const listeners = [];
  let isReading = false; // the address, which then needs no writing
  const now = { strategy: Data.chosen, group: null, piece: null, colour: "bottleneck" };

  const plan = () => Data.plan(now.strategy);
  const selected = () => (now.group === null ? null : plan().byId.get(now.group) ?? null);

  function listen(listener) {
    listeners.push(listener);
  }

  // Changes what is named, and tells who listens what changed.
  function set(changes) {
    const before = { ...now };
    Object.assign(now, changes);
    if (now.strategy !== before.strategy && !("group" in changes)) now.group = null;
    if (now.strategy !== before.strategy && !("piece" in changes)) now.piece = null;
    const changed = Object.keys(now).filter((name) => now[name] !== before[name]);
    if (!changed.length) return;
    write(changed.includes("strategy"));
    for (const listener of listeners) listener(new Set(changed));
  }

  const select = (group) => set({ group, piece: null });

  // The address: only what differs from how the page opens. Another strategy is a step of the
  // browser's history, so that "back" leads to the one before.
  function write(isStep) {
    if (isReading) return;
    const parts = new URLSearchParams();
    parts.set("strategy", Data.strategies[now.strategy].key);
    if (now.group !== null) parts.set("group", now.group);
    if (now.colour !== "bottleneck") parts.set("colour", now.colour);
    try {
      if (isStep) history.pushState(null, "", `#${parts}`);
      else history.replaceState(null, "", `#${parts}`);
    } catch {
      // A page shown inside another may have no address of its own; all else works without.
    }
  }

  function read() {
    const parts = new URLSearchParams(location.hash.slice(1));
    const key = parts.get("strategy");
    const strategy = location.hash ? Data.strategies.findIndex((found) => found.key === key) : Data.chosen;
    if (strategy < 0) return;
    const group = parts.has("group") ? Number(parts.get("group")) : null;
    const known = group !== null && Data.plan(strategy).byId.has(group);
    isReading = true;
    set({
      strategy,
      group: known ? group : null,
      piece: null,
      colour: parts.get("colour") === "module" ? "module" : "bottleneck",
    });
    isReading = false;
  }

  window.addEventListener("hashchange", read);
  return { INPUT, OUTPUT, listen, now, plan, read, select, selected, set };
})();
