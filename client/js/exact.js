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
export function memberText(text, key) {
  /** @type {string | undefined} */
  let found;
  let i = text.indexOf("{") + 1;
  while ((i = skipSpace(text, i)) < text.length && text[i] === '"') {
    const keyEnd = skipString(text, i);
    const name = JSON.parse(text.slice(i, keyEnd));
    const start = skipSpace(text, keyEnd) + 1;
    const end = skipValue(text, start);
    if (name === key) found = text.slice(start, end);
    i = end + 1;
  }
  return found;
}

/** Whether brackets of a JSON text are nested deeper than that. @param {string} text @param {number} depthMax */
export function isDeeper(text, depthMax) {
  if (text.length <= 2 * depthMax) return false;
  let depth = 0;
  for (let i = 0; i < text.length; ) {
    if (text[i] === '"') {
      i = skipString(text, i);
      continue;
    }
    if (text[i] === "[" || text[i] === "{") depth += 1;
    else if (text[i] === "]" || text[i] === "}") depth -= 1;
    if (depth > depthMax) return true;
    i += 1;
  }
  return false;
}

/** @param {string} text @param {number} i */
function skipSpace(text, i) {
  while (text[i] === " " || text[i] === "\t" || text[i] === "\n" || text[i] === "\r") i += 1;
  return i;
}

/** Behind the closing quote. @param {string} text @param {number} i at the opening quote */
function skipString(text, i) {
  for (i += 1; text[i] !== '"'; i += 1) if (text[i] === "\\") i += 1;
  return i + 1;
}

/** At the `,` or `}` that ends the value. @param {string} text @param {number} i behind the `:` */
function skipValue(text, i) {
  for (let depth = 0; i < text.length; ) {
    const character = text[i];
    if (character === '"') {
      i = skipString(text, i);
      continue;
    }
    if (depth === 0 && (character === "," || character === "}")) break;
    if (character === "[" || character === "{") depth += 1;
    else if (character === "]" || character === "}") depth -= 1;
    i += 1;
  }
  return i;
}
