// Users that a benchmark makes for itself.
import { randomUUID } from 'node:crypto';
import { restClient } from '../../tools/lab.d/rest.mjs';

/** Users with that role everywhere, each with a session; `rest.delete('/v1/users/<id>')` is to be rid of one. */
export async function makeUsers(rest, url, roleName, count) {
  const role = (await rest.get('/v1/roles')).items.find(({ name }) => name === roleName);
  const password = randomUUID();
  const users = [];
  for (let index = 0; index < count; index++) {
    const handle = `bench-${Date.now().toString(36)}-${index}`;
    const { id } = await rest.post('/v1/users', { handle, password, mustChangePassword: false });
    await rest.post('/v1/grants', { userId: id, roleId: role.id });
    const { accessToken } = await restClient(url).post('/v1/sessions', { user: handle, password });
    users.push({ id, handle, token: accessToken, rest: restClient(url, accessToken) });
  }
  return users;
}
