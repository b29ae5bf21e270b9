"""The debugger in the browser: documents of `clawvm_es.views` over HTTP, read only, and the page that draws them.

Modules, in the order in which a request passes them: `guard` (permission), `app` (routes), `answers` (documents),
`questions` and `jobs` (slow documents), `tail` (a growing session), `sizes` (bounds of answers), `encode` (bytes).
`serve` runs the server on a port; `ids` converts names in addresses.

LAW-WEB-1: nothing is written: a journal's bytes are the same after any requests.
LAW-WEB-2: no request holds a journal open after its answer, so an open page does not keep an erasure waiting.
LAW-WEB-3: no answer is longer than `sizes.LIMIT`.
LAW-WEB-4: text from a journal is data in JSON, never part of a page.
"""
