// What is known of a group, a module, a link, as pairs of a name and a text: tooltips and the
// panel of details print these.

const Facts = (() => {
  const OPS = 5;

  const whyBound = (name) => Data.meanings[name] ?? name;

  function ofGroup(group) {
    const facts = [
      ["bytes moved", `${Figures.exactBytes(group.traffic_bytes)} (${Figures.bytes(group.traffic_bytes)})`],
      ["read", Figures.exactBytes(group.read_bytes)],
      ["parameters", Figures.exactBytes(group.parameter_bytes)],
      ["written", Figures.exactBytes(group.written_bytes)],
      ["saved by fusing", Figures.exactBytes(group.saved_bytes)],
      ["FLOPs", flopsText(group.flops, group.unknown_ops)],
      ["other FLOPs", flopsText(group.other_flops, group.unknown_ops)],
      ["FLOP/byte", Figures.ratio(group.arithmetic_intensity)],
    ];
    if (group.bottleneck) facts.push(["bound by", `${group.bottleneck}: ${whyBound(group.bottleneck)}`]);
    if (group.seconds !== null) {
      facts.push(["time, at least", Figures.seconds(group.seconds)]);
      facts.push(["terms of time", terms(group)]);
    }
    if (group.unknown_ops) facts.push(["unknown ops", `${group.unknown_ops}: in no FLOPs and no time`]);
    return facts;
  }

  const flopsText = (value, unknown) => (unknown ? "≥ " : "") + Figures.whole(value);

  const terms = (group) =>
    [["compute", group.compute_seconds], ["vector", group.vector_seconds],
      ["bandwidth", group.bandwidth_seconds], ["launch", group.launch_seconds]]
      .map(([name, value]) => `${name} ${value === null ? "not known" : Figures.seconds(value)}`)
      .join(", ");

  function ofPiece(piece) {
    const { totals } = piece;
    const plan = State.plan();
    const facts = [
      ["kernels", Figures.whole(totals.launches)],
      ["bytes moved", `${Figures.exactBytes(totals.traffic_bytes)} (${Figures.share(totals.traffic_bytes, plan.total)} of all)`],
      ["saved by fusing", Figures.exactBytes(totals.saved_bytes)],
      ["FLOPs", Figures.whole(totals.flops)],
      ["other FLOPs", Figures.whole(totals.other_flops)],
    ];
    if (totals.seconds !== null) facts.push(["time of its kernels", Figures.seconds(totals.seconds)]);
    facts.push(["bound by", shares(piece).map(({ name, count }) => `${name} ${count}`).join(", ")]);
    return facts;
  }

  // Kernels and bytes inside a piece, by what bounds them.
  function shares(piece) {
    if (piece.shares) return piece.shares;
    const { byId, leaves } = State.plan();
    const found = new Map();
    for (let leaf = piece.first; leaf < piece.end; leaf++) {
      const group = byId.get(leaves[leaf]);
      const name = group.bottleneck || "unknown";
      if (!found.has(name)) found.set(name, { name, count: 0, bytes: 0 });
      found.get(name).count += 1;
      found.get(name).bytes += group.traffic_bytes;
    }
    piece.shares = [...found.values()].sort((one, other) => other.bytes - one.bytes);
    return piece.shares;
  }

  const opText = (op) => `${op.name}: ${op.inputs.join(", ") || "nothing"} → ${op.outputs.join(", ")}`;

  // The ops of a group as lines; the first few, and how many more there are.
  function opLines(group) {
    const computing = group.ops.map((id) => Data.ops[id]).filter((op) => op.is_compute);
    const lines = computing.slice(0, OPS).map(opText);
    const more = group.ops.length - lines.length;
    if (more > 0) lines.push(`and ${Figures.count(more, "more op")}`);
    return lines;
  }

  const nameOfPiece = (piece) =>
    piece.kind === "repeat" ? `${piece.name} (×${piece.children.length})` : piece.name || Data.model.name;

  return { nameOfPiece, ofGroup, ofPiece, opLines, shares, whyBound };
})();
