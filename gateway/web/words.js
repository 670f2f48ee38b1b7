/**
 * What has happened and what is missing, in sentences for people.
 *
 * Not here: elements (page.js, tryit.js).
 */

const REASONS = {
  retention: "Kafka has deleted them",
  replay_limit: "more than the node reads back",
  log_gone: "the partition does not exist any more",
  truncated: "Kafka has lost them",
  memory_lost: "the cluster has lost its memory",
  unreadable: "Kafka could not be read",
};
const NAMED_MAX = 4;

/**
 * What a gap says, such as `flights 3, 7: messages are missing (Kafka has deleted them)`.
 *
 * @param {{ log: string, why: string }[]} gaps
 * @param {(log: string) => { topic: string, partition: number } | null} placeOf what the node says that a log is
 */
export function gapInWords(gaps, placeOf) {
  const byReason = new Map();
  for (const { log, why } of gaps) byReason.set(why, [...(byReason.get(why) ?? []), log]);
  return [...byReason].map(([why, logs]) => `messages of ${logsInWords(logs, placeOf)} are missing: ${REASONS[why] ?? why}`).join("; ");
}

/** Logs by their topic and partition as far as they are known, such as `flights 3, 7`. */
export function logsInWords(logs, placeOf) {
  const topics = new Map();
  let others = 0;
  for (const log of logs) {
    const place = placeOf(log);
    if (place === null) others += 1;
    else topics.set(place.topic, [...(topics.get(place.topic) ?? []), place.partition]);
  }
  const words = [...topics].map(([topic, partitions]) => `${topic} ${few(partitions.sort((a, b) => a - b))}`);
  if (others > 0) words.push(others === 1 ? "a log" : `${others} logs`);
  return words.join(" and ");
}

function few(numbers) {
  if (numbers.length <= NAMED_MAX) return numbers.join(", ");
  return `${numbers.slice(0, NAMED_MAX - 1).join(", ")} and ${numbers.length - NAMED_MAX + 1} more`;
}
