// What each file of integration tests begins with.
import { jest } from '@jest/globals';

// They start servers and processes on machines that may be busy: how long that takes proves nothing.
jest.setTimeout(60_000);

// Redis knows one queue of a service in each of its databases, of which it has 16 unless it is told otherwise. Files run side by side: an
// engine of another one would take this one's wake-ups and find nothing under them in its own schema. So each of jest's workers has its own.
const redis = new URL(process.env.TOK_TEST_REDIS_URL);
redis.pathname = `/${Number(process.env.JEST_WORKER_ID) % 16}`;
process.env.TOK_TEST_REDIS_URL = redis.href;
