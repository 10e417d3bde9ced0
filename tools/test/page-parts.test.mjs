// A page that several runs write keeps what the others wrote.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PARTS, partOf, withPart } from './page-parts.mjs';

const part = (name, text) => `${PARTS[name].begin}\n${text}\n${PARTS[name].end}\n`;

test('a part takes the place of what it was before, and the others stay', () => {
  const page = withPart(withPart(withPart('', 'own', '# Faults'), 'chaos', part('chaos', 'chaos 1')), 'matrix', part('matrix', 'matrix 1'));
  assert.equal(page, `# Faults\n\n${part('matrix', 'matrix 1')}\n${part('chaos', 'chaos 1')}`);
  const later = withPart(withPart(page, 'chaos', part('chaos', 'chaos 2')), 'own', '# Faults anew');
  assert.equal(later, `# Faults anew\n\n${part('matrix', 'matrix 1')}\n${part('chaos', 'chaos 2')}`);
  assert.equal(withPart(later, 'own', '# Faults anew'), later);
  assert.equal(partOf(later, PARTS.tasks), '');
});
