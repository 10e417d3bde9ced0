// The limit of the REST benchmark: Fastify with one route that answers the given text.
import fastify from 'fastify';

const [body] = process.argv.slice(2);
const app = fastify();
app.get('/', (_request, reply) => reply.header('content-type', 'application/json; charset=utf-8').send(body));
process.stdout.write(`${await app.listen({ host: '127.0.0.1', port: 0 })}\n`);
