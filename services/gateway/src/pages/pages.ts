// The few pages that the door shows to a browser. No inline script and no inline style: the policy allows none.

const page = (title: string, head: string, body: string): string =>
  `<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>${title}</title>\n${head}\n</head>\n<body>\n${body}\n</body>\n</html>\n`;

export const landingPage = page('Tokamak', '<link rel="stylesheet" href="/landing.css">', `<main>
<h1>Tokamak</h1>
<p>This is the REST door of a Tokamak site.</p>
<ul>
<li><a href="/v1/reference">REST reference</a></li>
<li><a href="/v1/openapi.json">OpenAPI document</a></li>
<li><a href="/v1/asyncapi.json">AsyncAPI document of the bus</a></li>
</ul>
<h2>Sign in</h2>
<pre>curl -X POST http://this-address/v1/sessions -H 'content-type: application/json' \\
  -d '{"user":"admin","password":"…"}'</pre>
<p>The answer holds an <code>accessToken</code>: send it as <code>Authorization: Bearer …</code>. On the command line: <code>tokctl login</code>.</p>
</main>`);

export const landingStyle = `body { font: 16px/1.5 system-ui, sans-serif; margin: 0; color: #1d2330; background: #f5f6f8 }
main { max-width: 42rem; margin: 4rem auto; padding: 0 1.5rem }
h1 { font-size: 2rem; margin: 0 0 .5rem }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem }
a { color: #1257c4 }
pre { background: #1d2330; color: #f5f6f8; padding: 1rem; overflow: auto; border-radius: 4px }
`;

export const referencePage = page('Tokamak REST reference', '<link rel="stylesheet" href="/v1/reference/swagger-ui.css">\n<script src="/v1/reference/swagger-ui-bundle.js" defer></script>\n<script src="/v1/reference/start.js" defer></script>', '<div id="reference"></div>');

export const referenceStart = `window.addEventListener('DOMContentLoaded', () => {
  window.SwaggerUIBundle({ url: '/v1/openapi.json', dom_id: '#reference', deepLinking: true, docExpansion: 'none', tagsSorter: 'alpha', validatorUrl: null });
});
`;

/** Scripts and styles come from this door alone; images also from data: URLs, which the reference's style sheet uses. */
export const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
