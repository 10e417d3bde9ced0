// The operations of webhooks on the bus.
import { Controller, Inject } from '@nestjs/common';
import { Handles, type BusContext } from '#bus';
import { createWebhook, deleteWebhook, getWebhook, listWebhookDeliveries, listWebhooks, replayWebhook, rotateWebhookSecret, testWebhook, updateWebhook, type InputOf } from '#contracts';
import { WebhookCommands } from './webhook.commands.ts';
import { WebhookSender } from './webhook.worker.ts';

@Controller()
export class WebhookHandlers {
  constructor(@Inject(WebhookCommands) private readonly webhooks: WebhookCommands, @Inject(WebhookSender) private readonly sender: WebhookSender) {}

  @Handles(createWebhook) create(input: InputOf<typeof createWebhook>, ctx: BusContext) { return this.webhooks.create(input, ctx); }
  @Handles(listWebhooks) list(input: InputOf<typeof listWebhooks>, ctx: BusContext) { return this.webhooks.list(input, ctx); }
  @Handles(getWebhook) get({ webhookId }: InputOf<typeof getWebhook>, ctx: BusContext) { return this.webhooks.get(webhookId, 'webhook.read', ctx); }
  @Handles(updateWebhook) update(input: InputOf<typeof updateWebhook>, ctx: BusContext) { return this.webhooks.update(input, ctx); }
  @Handles(deleteWebhook) delete(input: InputOf<typeof deleteWebhook>, ctx: BusContext) { return this.webhooks.delete(input, ctx); }
  @Handles(rotateWebhookSecret) rotate(input: InputOf<typeof rotateWebhookSecret>, ctx: BusContext) { return this.webhooks.rotate(input, ctx); }
  @Handles(replayWebhook) replay(input: InputOf<typeof replayWebhook>, ctx: BusContext) { return this.webhooks.replay(input, ctx); }
  @Handles(listWebhookDeliveries) deliveries(input: InputOf<typeof listWebhookDeliveries>, ctx: BusContext) { return this.webhooks.deliveries(input, ctx); }

  @Handles(testWebhook)
  async test(input: InputOf<typeof testWebhook>, ctx: BusContext) {
    const found = await this.webhooks.get(input.webhookId, 'webhook.write', ctx);
    return found.ok ? this.sender.test(found.value, input, ctx) : found;
  }
}
