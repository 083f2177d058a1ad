// Blocks of data in the page: gzip and base64 in, typed arrays and texts out.

const TYPES = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };

/** The bytes of a block, or null where the report has none of this name. */
export async function unpack(name) {
  const element = document.getElementById(`data-${name}`);
  if (!element) return null;
  const bytes = fromBase64(element.textContent);
  element.remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

export async function unpackText(name) {
  const bytes = await unpack(name);
  return bytes && new TextDecoder().decode(bytes);
}

/** Arrays by name; `named` lists name, type and length, the bytes of each array stand plane by plane. */
export function toArrays(bytes, named) {
  const arrays = {};
  let start = 0;
  for (const [name, type, length] of named) {
    const array = new TYPES[type](length);
    const out = new Uint8Array(array.buffer);
    const size = array.BYTES_PER_ELEMENT;
    for (let plane = 0; plane < size; plane++) {
      const from = start + plane * length;
      for (let i = 0, to = plane; i < length; i++, to += size) out[to] = bytes[from + i];
    }
    start += size * length;
    arrays[name] = array;
  }
  return arrays;
}

function fromBase64(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}
