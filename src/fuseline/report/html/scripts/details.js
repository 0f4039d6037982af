// The panel beside the picture: all of what is chosen.

const Details = (() => {
  const panel = byId("details");
  const live = byId("live");
  const MOST = 30; // lines of a list, before it says how many more there are

  function show() {
    if (panel.contains(document.activeElement)) return again(document.activeElement);
    fill();
  }

  // Filled anew, the focus stays on the control that had it, where that is still there.
  function again(control) {
    const { act } = control.dataset;
    fill();
    (panel.querySelector(`[data-act="${act}"]`) ?? panel).focus({ preventScroll: true });
  }

  function fill() {
    const group = State.selected();
    const piece = State.now.piece === null ? null : State.plan().pieces[State.now.piece];
    if (group) panel.replaceChildren(...ofGroup(group));
    else if (piece) panel.replaceChildren(...ofPiece(piece));
    else panel.replaceChildren(el("p", { class: "hint" }, "Choose a box: its figures, its ops, what it reads from and why it is no larger stand here."));
    if (group) live.textContent = `Chosen: group ${group.id}, ${group.label}, ${Figures.bytes(group.traffic_bytes)}.`;
    else if (piece) live.textContent = `${Facts.nameOfPiece(piece)}, ${Picture.isOpen(piece) ? "open" : "closed"}.`;
  }

  const pairs = (facts) => el("dl", { class: "facts" }, ...facts.flatMap(([name, text]) => [
    el("dt", {}, name), el("dd", {}, text),
  ]));

  function ofGroup(group) {
    const plan = State.plan();
    return [
      heading(group.label, `group ${group.id}`, group.module),
      el("p", { class: "buttons" }, button("In the table", () => Tables.reveal(), "table")),
      copyNote(plan, group),
      pairs(Facts.ofGroup(group)),
      group.alone ? el("p", { class: "why" }, "Alone: ", named(group.alone)) : null,
      ...illegal(plan, group),
      ...section("Ops, with the bytes of each alone", opList(group)),
      ...section("Reads from", neighbours(plan, group, "source", "target")),
      ...section("Read by", neighbours(plan, group, "target", "source")),
      ...section("Missed fusions", missed(plan, group)),
      ...section("Refused", refused(plan, group)),
    ].filter(Boolean);
  }

  function heading(title, under, path) {
    return el("header", {},
      el("h3", {}, named(title)),
      el("p", { class: "under" }, under, ...(path ? [" · ", named(path)] : [])));
  }

  const section = (title, content) => (content ? [el("h4", {}, title), content] : []);

  // A copy that is not drawn: the first stands for it.
  function copyNote(plan, group) {
    const piece = plan.pieceOf.get(group.id);
    let at = piece;
    while (at && !(at.kind === "copy" && at.place && !Picture.isAll(at.parent))) at = at.parent;
    if (!at) return null;
    return el("p", { class: "note" },
      `In copy ${at.place + 1} of ${at.parent.children.length}; the first is drawn for all. `,
      button("Show this copy", () => Picture.uncover(piece)));
  }

  const button = (said, work, act = null) => el("button", { type: "button", class: "quiet", click: work, "data-act": act }, said);

  function opList(group) {
    const ops = group.ops.map((id) => Data.ops[id]);
    const line = (op) => el("li", { class: op.is_compute ? null : "faint" },
      el("div", { class: "op" },
        el("span", {}, named(op.name), op.kind === op.name ? null : el("span", { class: "faint" }, " ", el("bdi", {}, op.kind))),
        el("span", { class: "number" }, op.is_compute ? Figures.bytes(op.traffic_bytes) : op.op_class)),
      el("div", { class: "tensors" }, `${op.inputs.join(", ") || "nothing"} → ${op.outputs.join(", ") || "nothing"}`),
      op.unknown ? el("b", { class: "warn" }, "no formula knows its FLOPs") : null);
    return el("ul", { class: "ops" }, ...ops.slice(0, 4 * MOST).map(line), rest(ops.length - 4 * MOST));
  }

  const rest = (more) => (more > 0 ? el("li", { class: "faint" }, `and ${Figures.whole(more)} more`) : null);

  const list = (items, line) =>
    items.length ? el("ul", {}, ...items.slice(0, MOST).map(line), rest(items.length - MOST)) : null;

  function neighbours(plan, group, end, own) {
    const edges = plan.edges.filter((edge) => edge[own] === group.id);
    return list(edges, (edge) => el("li", {}, linkTo(plan, edge[end]), ` ${Figures.bytes(edge.bytes)}`));
  }

  function linkTo(plan, id) {
    if (id === State.INPUT) return "the model's input";
    if (id === State.OUTPUT) return "what outlives the run";
    const group = plan.byId.get(id);
    return el("button", { type: "button", class: "link", "data-to-group": id, click: () => State.select(id) },
      el("bdi", {}, shortened(group.label, 60)), ` (${id})`);
  }

  function missed(plan, group) {
    const found = plan.missed.filter((row) => row.source === group.id || row.target === group.id);
    return list(found, (row) => el("li", {},
      linkTo(plan, row.source), " → ", linkTo(plan, row.target),
      `: ${Figures.bytes(row.saved_bytes)} saved${row.legal ? ", legal under T" : ""}. `, named(row.remedy)));
  }

  function refused(plan, group) {
    const found = plan.refusals.filter((row) =>
      plan.groupOf.get(row.from) === group || plan.groupOf.get(row.to) === group);
    return list(found, (row) => el("li", {},
      el("bdi", {}, Data.ops[row.from].name), " → ", el("bdi", {}, Data.ops[row.to].name),
      `: ${row.rule}, ${Figures.bytes(row.bytes)}. `, named(row.reason)));
  }

  function illegal(plan, group) {
    return plan.illegal.filter((row) => row.group === group.id).map((row) =>
      el("p", { class: "warn" }, `This is ${Facts.noKernel()}: ${row.rule}. `, named(row.reason)));
  }

  function ofPiece(piece) {
    const isRepeat = piece.kind === "repeat";
    const isOpen = Picture.isOpen(piece);
    return [
      heading(Facts.nameOfPiece(piece), isRepeat ? `${piece.children.length} copies, alike in every figure` : piece.kind, piece.path),
      pairs(Facts.ofPiece(piece)),
      el("p", { class: "buttons" },
        button(isOpen ? "Close" : "Open", () => Picture.act(Picture.box(String(piece.id)) ?? { piece }), "toggle"),
        isRepeat ? button(Picture.isAll(piece) ? "Fold the copies" : "Show all copies", () => Picture.unfold(piece), "unfold") : null),
    ];
  }

  // In one column it stands below the picture: what was tapped is told where it can be read.
  function bring() {
    if (matchMedia("(max-width: 1000px)").matches) panel.scrollIntoView({ block: "nearest" });
  }

  return { bring, show };
})();
