// Templates as a table: its module, schema and tasks.
import type { serviceConfig } from '#config';
import type { TaskService } from '#service';
import { templatesMigrations } from './migrations/0001-templates.ts';
import { templatesListMigrations } from './migrations/0007-lists.ts';
import { deleteImageTask, importImageTask } from './src/image/image.task.ts';
import { TemplatesModule } from './templates.module.ts';

export const templatesService: TaskService<typeof serviceConfig> = {
  name: 'templates',
  module: TemplatesModule,
  migrations: [...templatesMigrations, ...templatesListMigrations],
  tasks: () => [importImageTask, deleteImageTask],
  drift: () => [],
};
