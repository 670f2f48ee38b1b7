/**
 * The exact text of one value of a JSON object, which JSON.parse does not keep: 64-bit numbers, the order of keys, white space.
 *
 * Not here: checking that it is JSON at all, which JSON.parse has done before.
 */
/**
 * The text between the `:` of a key of the outermost object and what ends its value; undefined without that key. Of a key that comes
 * twice the last one counts, as for JSON.parse.
 *
 * @param {string} text a valid JSON object
 * @param {string} key
 */
export declare function memberText(text: string, key: string): string | undefined;
/** Whether brackets of a JSON text are nested deeper than that. @param {string} text @param {number} depthMax */
export declare function isDeeper(text: string, depthMax: number): boolean;
