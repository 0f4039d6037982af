// Finds groups by pattern, op, target, module, by what bounds them and by rules that they break or
// were refused by, and modules by name; Enter goes to the next.

const Search = (() => {
  const field = byId("search");
  const count = byId("search-count");
  const texts = new Map(); // plan -> what each piece is found by
  let hits = [];
  let at = -1;

  function index(plan) {
    if (!texts.has(plan)) texts.set(plan, plan.pieces.map((piece) => textOf(piece, plan)));
    return texts.get(plan);
  }

  // A group is not found by the modules around it: those are found themselves.
  function textOf(piece, plan) {
    if (piece.kind !== "group") return piece.parent ? piece.name.toLowerCase() : "";
    const group = plan.byId.get(piece.group);
    const around = piece.parent.path;
    const words = [group.pattern, group.bottleneck, plan.broken.get(group.id) ?? "", ...(rulesOf(plan).get(group.id) ?? [])];
    for (const id of group.ops) {
      const op = Data.ops[id];
      words.push(op.name, op.target, op.kind);
      if (op.module.startsWith(around)) words.push(op.module.slice(around.length));
    }
    return words.join(" ").toLowerCase();
  }

  // The rules that refused a group its neighbours.
  function rulesOf(plan) {
    if (!plan.refused) {
      plan.refused = new Map();
      for (const row of plan.refusals) {
        for (const group of [plan.groupOf.get(row.from), plan.groupOf.get(row.to)].filter(Boolean)) {
          if (!plan.refused.has(group.id)) plan.refused.set(group.id, new Set());
          plan.refused.get(group.id).add(row.rule);
        }
      }
    }
    return plan.refused;
  }

  function look() {
    const wanted = field.value.trim().toLowerCase();
    const plan = State.plan();
    at = -1;
    hits = wanted ? plan.pieces.filter((piece, place) => index(plan)[place].includes(wanted)) : [];
    say();
  }

  function say() {
    if (!field.value.trim()) count.textContent = "";
    else if (!hits.length) count.textContent = "nothing found";
    else if (at < 0) count.textContent = `${Figures.count(hits.length, "hit")}: Enter goes to the first`;
    else count.textContent = `${Figures.whole(at + 1)} of ${Figures.count(hits.length, "hit")}`;
  }

  function next(step) {
    if (!hits.length) return;
    at = at < 0 ? (step > 0 ? 0 : hits.length - 1) : (at + step + hits.length) % hits.length;
    const piece = hits[at];
    Picture.uncover(piece);
    if (piece.kind === "group") State.select(piece.group);
    else State.set({ group: null, piece: piece.id });
    say();
  }

  field.addEventListener("input", look);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") {
      event.preventDefault();
      next(event.shiftKey ? -1 : 1);
    } else if (event.key === "Escape") {
      field.value = "";
      look();
    }
  });
  byId("search-next").addEventListener("click", () => next(1));

  return { look };
})();
