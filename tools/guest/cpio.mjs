// Writes an initramfs archive (cpio "newc", the form the Linux kernel reads) from entries in memory. Owners are
// root and times are zero, so equal contents give equal bytes.
const HEADER_FIELDS = 13;
const TYPE = { file: 0o100000, directory: 0o040000, link: 0o120000 };

/** `entries`: [{ path, type: 'file'|'directory'|'link', mode?, data? }]; a link's data is its target. */
export function cpioArchive(entries) {
  const records = withParents(entries).map((entry, index) => record(entry, index + 1));
  return Buffer.concat([...records, record({ path: 'TRAILER!!!', data: '' }, 0)]);
}

/** Directories come before what is in them, each once. */
function withParents(entries) {
  const known = new Map();
  const addDirectory = (path) => {
    if (path === '' || known.has(path)) return;
    addDirectory(path.split('/').slice(0, -1).join('/'));
    known.set(path, { path, type: 'directory' });
  };
  for (const entry of entries) {
    addDirectory(entry.path.split('/').slice(0, -1).join('/'));
    known.set(entry.path, entry);
  }
  return [...known.values()];
}

function record({ path, type, mode, data = '' }, inode) {
  const body = Buffer.from(data);
  const name = Buffer.from(`${path}\0`);
  const fields = new Array(HEADER_FIELDS).fill(0);
  fields[0] = inode;
  fields[1] = type ? TYPE[type] | (mode ?? (type === 'link' ? 0o777 : 0o755)) : 0;
  fields[4] = 1; // links
  fields[6] = body.length;
  fields[11] = name.length;
  const header = Buffer.from('070701' + fields.map((value) => value.toString(16).padStart(8, '0')).join(''));
  return Buffer.concat([pad(Buffer.concat([header, name])), pad(body)]);
}

function pad(bytes) {
  const rest = bytes.length % 4;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - rest)]);
}
