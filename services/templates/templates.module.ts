// What templates is made of.
import { Module } from '@nestjs/common';
import { ImageHandlers } from './src/image/image.handlers.ts';
import { ImageService } from './src/image/image.service.ts';
import { TemplateHandlers } from './src/template/template.handlers.ts';
import { TemplateService } from './src/template/template.service.ts';

@Module({ controllers: [ImageHandlers, TemplateHandlers], providers: [ImageService, TemplateService] })
export class TemplatesModule {}
