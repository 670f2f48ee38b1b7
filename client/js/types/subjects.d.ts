/**
 * Subjects: how they stand for a Kafka topic and key, and which patterns match them (PROTOCOL section 1).
 *
 * Every key has exactly one subject; a subject written another way is refused with its right form.
 *
 * Not here: which subjects a node accepts.
 */
/**
 * The one subject of a record with this topic and key (null: a record without a key).
 *
 * @param {string} topic
 * @param {string | Uint8Array | null} key
 * @returns {string}
 * @throws {SubjectError} If the topic is not the name of a topic or namespace.
 */
export declare function subjectOf(topic: string, key: string | Uint8Array | null): string;
/**
 * The topic and key of a subject.
 *
 * @param {string} subject
 * @returns {{ topic: string, key: Uint8Array | null }}
 * @throws {SubjectError} If it is not a subject in its one right form.
 */
export declare function parseSubject(subject: string): {
    topic: string;
    key: Uint8Array | null;
};
/**
 * Check a subject or pattern, and return it.
 *
 * @param {string} subject
 * @returns {string}
 * @throws {SubjectError} If it is neither.
 */
export declare function checkSubject(subject: string): string;
/**
 * Whether this is `/topic/*` or `/topic/prefix/*` rather than a subject.
 *
 * @param {string} subject
 */
export declare function isPattern(subject: string): boolean;
/**
 * Whether a subject or pattern covers a subject.
 *
 * @param {string} pattern
 * @param {string} subject
 */
export declare function matches(pattern: string, subject: string): boolean;
