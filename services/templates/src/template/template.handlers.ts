// The bus face of templates: one call each.
import { Controller, Inject } from '@nestjs/common';
import { Handles } from '#bus';
import type { BusContext } from '#bus';
import { createTemplate, deleteTemplate, getTemplate, listTemplates, updateTemplate } from '#contracts';
import type { InputOf } from '#contracts';
import { TemplateService } from './template.service.ts';

@Controller()
export class TemplateHandlers {
  constructor(@Inject(TemplateService) private readonly templates: TemplateService) {}

  @Handles(createTemplate)
  create(input: InputOf<typeof createTemplate>, ctx: BusContext) { return this.templates.create(input, ctx); }

  @Handles(updateTemplate)
  update(input: InputOf<typeof updateTemplate>, ctx: BusContext) { return this.templates.update(input, ctx); }

  @Handles(listTemplates)
  list(input: InputOf<typeof listTemplates>, ctx: BusContext) { return this.templates.list(input, ctx); }

  @Handles(getTemplate)
  get(input: InputOf<typeof getTemplate>, ctx: BusContext) { return this.templates.get(input.templateId, ctx); }

  @Handles(deleteTemplate)
  delete(input: InputOf<typeof deleteTemplate>, ctx: BusContext) { return this.templates.delete(input, ctx); }
}
