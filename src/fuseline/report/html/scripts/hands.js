// What pointers and keys do in the picture.

const Hands = (() => {
  const { canvas, tree } = Picture;
  const STEP = 60;
  let still = null; // where a click was, until the pointer moves: what is drawn under it says nothing

  tree.addEventListener("click", (event) => {
    if (View.wasDragged()) return;
    const fold = event.target.closest(".switch");
    const node = event.target.closest("[data-piece]");
    if (!node) return;
    Picture.remember(node.dataset.piece);
    Tooltip.hide();
    still = { x: event.clientX, y: event.clientY };
    if (fold) Picture.unfold(Picture.boxOf(node).piece);
    else if (!event.target.closest(".link") && node.classList.contains("node") && Picture.boxOf(node).parent) {
      if (isActedOn(node, event.target)) Picture.act(Picture.boxOf(node));
      Details.bring();
    }
  });

  // Of an open module the heading acts; its ground is only ground.
  const isActedOn = (node, target) =>
    !node.classList.contains("container") || target.closest(".head, .label, .chevron") !== null;

  tree.addEventListener("pointerover", (event) => {
    if (still && event.clientX === still.x && event.clientY === still.y) return;
    still = null;
    const link = event.target.closest(".link");
    const node = event.target.closest("[data-piece]");
    if (link) Tooltip.show(ofLink(link.link), Tooltip.around(event));
    else if (node && isActedOn(node, event.target)) tell(node);
    else Tooltip.hide();
  });
  tree.addEventListener("pointerleave", Tooltip.hide);
  // Not on the tree itself: a browser lets the Tab key stop at SVG that listens to focus.
  const frame = canvas.parentElement;
  frame.addEventListener("focusin", (event) => {
    const node = event.target.closest("[data-piece]");
    if (node && node.matches(":focus-visible")) tell(node);
  });
  frame.addEventListener("focusout", Tooltip.hide);

  function tell(node) {
    const box = Picture.boxOf(node);
    if (!box?.parent) return Tooltip.hide();
    const frame = node.querySelector(".head, .frame:not(.behind)") ?? node;
    Tooltip.show(ofBox(box), frame.getBoundingClientRect(), node.matches(":focus-visible") ? frame : null);
  }

  function ofBox({ piece }) {
    if (piece.kind !== "group") {
      return { title: Facts.nameOfPiece(piece), under: piece.path, pairs: Facts.ofPiece(piece) };
    }
    const group = State.plan().byId.get(piece.group);
    const lines = Facts.opLines(group);
    if (group.alone) lines.push(`alone: ${group.alone}`);
    return { title: group.label, under: `group ${group.id} · ${group.module || Data.model.name}`, pairs: Facts.ofGroup(group), lines };
  }

  function ofLink(link) {
    const name = (end) => {
      if (end.isEdgeOf) return end.which === "entry" ? "from outside" : "to outside";
      return end.isPort ? end.name : Facts.nameOfPiece(end.piece);
    };
    const pairs = [["bytes", Figures.exactBytes(link.bytes)]];
    if (link.ways > 1) pairs.push(["copies", `${link.ways} run this way; bytes are of one`]);
    return { title: `${name(link.from)} → ${name(link.to)}`, pairs };
  }

  // As in any tree: up and down go through what is drawn, right opens or goes in, left closes or
  // goes out, Enter acts, * shows all copies.
  const KEYS = {
    ArrowDown: (box, all, at) => all[at + 1],
    ArrowUp: (box, all, at) => all[at - 1],
    Home: (box, all) => all[0],
    End: (box, all) => all.at(-1),
    ArrowRight: (box) => {
      if (box.piece.kind === "group") return undefined;
      if (!box.isCard) return box.children.find((child) => !child.isPort);
      return act(box);
    },
    ArrowLeft: (box) => (box.isCard ? (box.parent.parent ? box.parent : undefined) : act(box)),
    Enter: (box) => act(box),
    " ": (box) => act(box),
    "*": (box) => {
      const repeat = box.piece.kind === "repeat" ? box.piece : undefined;
      if (repeat) Picture.unfold(repeat);
      Tooltip.hide();
    },
  };

  function act(box) {
    Picture.act(box);
    Tooltip.hide(); // the panel beside the picture says the same, and more
  }

  const ZOOMS = {
    "+": () => View.zoom(1.25), "=": () => View.zoom(1.25), "-": () => View.zoom(0.8), 0: () => View.fit(),
  };
  const PANS = { ArrowLeft: [STEP, 0], ArrowRight: [-STEP, 0], ArrowUp: [0, STEP], ArrowDown: [0, -STEP] };

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const box = Picture.boxOf(event.target.closest("[data-piece]"));
    if (ZOOMS[event.key]) ZOOMS[event.key]();
    else if (event.shiftKey && PANS[event.key]) View.move(...PANS[event.key]);
    else if (box && KEYS[event.key]) {
      const all = Picture.items();
      const next = KEYS[event.key](box, all, all.indexOf(box));
      if (next) Picture.focus(next.key);
    } else return;
    event.preventDefault();
  });

  byId("zoom-in").addEventListener("click", () => View.zoom(1.25));
  byId("zoom-out").addEventListener("click", () => View.zoom(0.8));
  byId("zoom-fit").addEventListener("click", () => View.fit(true));
  byId("open-all").addEventListener("click", () => Picture.everything("open"));
  byId("close-all").addEventListener("click", () => Picture.everything("close"));
})();
