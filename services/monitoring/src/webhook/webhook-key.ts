// The key that secrets of webhooks are made from, as the providers of monitoring ask Nest for it.

/** Undefined = the site has none. */
export type SiteKey = Buffer | undefined;
export const WebhookKey = Symbol('WebhookKey');
