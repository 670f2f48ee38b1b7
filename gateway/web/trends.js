/**
 * What of several nodes' statuses is worth a plot or a row: rates by node and topic, percentiles, and who or what is behind.
 *
 * Not here: elements (console.js).
 */

/** Worth a row: a partition of which this many records have not been read, a worker whose loop was this late. */
const LAG_MIN = 100;
const LOOP_DELAY_S_MIN = 0.1;

/** What passes through a node per second; all 0 when it says nothing. */
export function ratesOf(status) {
  const topics = (status?.kafka?.topics ?? []).map(({ topic, partitions }) => [topic, partitions.reduce((sum, { messages_per_s: one }) => sum + (one ?? 0), 0)]);
  return { in: status?.rates?.in_per_s ?? 0, out: status?.rates?.out_per_s ?? 0, topics: new Map(topics) };
}

/** The value that a share of the (ascending) values does not exceed; null when there are none. */
export function percentile(values, share) {
  return values.length === 0 ? null : values[Math.min(Math.ceil(values.length * share), values.length) - 1];
}

/**
 * What is slow or late, as rows of texts: who, what, by how much.
 *
 * @param {object[]} statuses of all nodes that answer
 */
export function behind(statuses) {
  const rows = [];
  for (const status of statuses) {
    for (const { index, slow_clients: slow, waiting_bytes: waiting, loop_delay_s: late } of status.workers ?? []) {
      const worker = `${status.node}, worker ${index}`;
      if (slow > 0) rows.push([worker, slow === 1 ? "1 slow client" : `${slow} slow clients`, `${Math.ceil(waiting / 1024)} KB wait`]);
      if (late >= LOOP_DELAY_S_MIN) rows.push([worker, "its loop is late", `${Math.round(late * 1000)} ms`]);
    }
    for (const { topic, partitions } of status.kafka?.topics ?? []) {
      for (const { partition, lag, state } of partitions) {
        if (state === "unavailable") rows.push([status.node, `${topic} ${partition}`, "has no leader"]);
        else if (lag >= LAG_MIN) rows.push([status.node, `${topic} ${partition}`, `${lag} records behind`]);
      }
    }
    for (const { name, state, synced, delay_ms: delay } of status.cluster?.members ?? []) {
      if (state === "suspect") rows.push([status.node, `node ${name}`, "does not answer"]);
      else if (state === "alive" && synced && delay >= 1000) rows.push([status.node, `node ${name}`, `${Math.round(delay)} ms behind`]);
    }
  }
  return rows;
}
