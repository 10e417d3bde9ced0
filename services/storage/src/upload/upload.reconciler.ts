// Uploads that nobody has written to for a day end: their staging files go. One whose host is away waits for it.
import type { Reconciler } from '#service';
import type { Logger } from '#telemetry';
import type { DataSource } from 'typeorm';
import { forgottenUploads } from './upload.store.ts';
import type { UploadService } from './upload.service.ts';

const keptHours = 24;

export const uploadReconciler = (db: DataSource, uploads: UploadService, log: Logger): Reconciler => ({
  name: 'forgotten-uploads',
  everyMs: 10 * 60_000,
  run: async (signal) => {
    for (const upload of await forgottenUploads(db, keptHours)) {
      if (signal.aborted) return;
      const ended = await uploads.forget(upload);
      log.info({ uploadId: upload.id, code: ended.ok ? 'DONE' : ended.fault.code }, 'ending a forgotten upload');
    }
  },
});
