// Reads where this system gets its Debian packages from, in both formats of apt, so that a newer
// release can be asked of the same mirror without naming any mirror here.
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** Entries of a deb822 file (`*.sources`): { types, uris, suites, components, signedBy, enabled }. */
export function parseDeb822(text) {
  return text.split(/\n\s*\n/).map(parseStanza).filter((entry) => entry.uris.length > 0 && entry.enabled);
}

function parseStanza(stanza) {
  const fields = {};
  let current;
  for (const line of stanza.split('\n')) {
    if (line.startsWith('#')) continue;
    const start = /^([A-Za-z-]+):\s*(.*)$/.exec(line);
    if (start) fields[(current = start[1].toLowerCase())] = start[2];
    else if (current && /^\s/.test(line)) fields[current] += `\n${line.trim()}`;
  }
  const words = (name) => (fields[name] ?? '').split(/\s+/).filter(Boolean);
  return {
    types: words('types'), uris: words('uris'), suites: words('suites'), components: words('components'),
    signedBy: fields['signed-by'], enabled: fields.enabled?.toLowerCase() !== 'no',
  };
}

/** Entries of a one-line file (`*.list`), in the same shape. */
export function parseOneLine(text) {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*([^#]*)/.exec(line);
    if (!match) return [];
    const [, type, options = '', uri, suite, components] = match;
    const signedBy = /signed-by=(\S+)/i.exec(options)?.[1];
    return [{ types: [type], uris: [uri], suites: [suite], components: components.split(/\s+/).filter(Boolean), signedBy, enabled: true }];
  });
}

/** All entries of the system. */
export function readSystemSources(etc = '/etc/apt') {
  const read = (path) => { try { return readFileSync(path, 'utf8'); } catch { return ''; } };
  let names = [];
  try { names = readdirSync(join(etc, 'sources.list.d')).sort(); } catch { /* only sources.list then */ }
  const part = (name) => read(join(etc, 'sources.list.d', name));
  return [
    ...parseOneLine(read(join(etc, 'sources.list'))),
    ...names.filter((name) => name.endsWith('.list')).flatMap((name) => parseOneLine(part(name))),
    ...names.filter((name) => name.endsWith('.sources')).flatMap((name) => parseDeb822(part(name))),
  ];
}

/**
 * The address of the Debian archive (not its security or third-party archives) among `entries`:
 * the one that serves `main` of the running release's own suite.
 */
export function debianMirror(entries, codename) {
  const own = entries.filter((entry) => entry.types.includes('deb') && entry.components.includes('main'));
  return own.find((entry) => entry.suites.includes(codename))?.uris[0]
    ?? own.find((entry) => entry.uris.some((uri) => /\/debian\/?$/.test(uri)))?.uris[0];
}
