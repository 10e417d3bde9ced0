// Integration tests start servers and processes on machines that may be busy: how long that takes proves nothing.
import { jest } from '@jest/globals';

jest.setTimeout(60_000);
