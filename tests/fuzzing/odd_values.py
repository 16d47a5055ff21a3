"""Values that readers trip over: strings, dates, numbers, JSON and bytes."""

CANARY = "Qv7canary"
"""Stands in what the fuzzer sends; no error body, header or log line may repeat it."""

MARKUP = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg/onload=alert(1)>',
    "</p><h1>ORDER APPROVED</h1>",
    "<a href=javascript:alert(1)>x</a>",
    "<!-- x -->",
    "<![CDATA[x]]>",
    "<?php x ?>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;img src=x&#62;",
    "&#x6A;avascript:alert(1)",
    "[x](javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](https://evil.example/)",
    "[x]: https://evil.example/\n[x]",
    "![x](https://evil.example/p.png)",
    "<https://evil.example/>",
    "https://evil.example/",
    "www.evil.example",
    "mailto:a@evil.example",
    "someone@evil.example",
    "xmpp:a@evil.example/x",
    "javascript:alert(1)",
    "data:text/html,<b>x</b>",
    "vbscript:msgbox(1)",
    "` code ` and ``more``",
    "```\nfence\n```",
    "~~~\nfence\n~~~",
    "~~struck~~ **bold** __bold__ _slanted_",
    "# heading",
    "heading\n===",
    "heading\n---",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "> quoted",
    "- item\n- item",
    "1. one\n2. two",
    "* * *",
    "    indented code",
    "\tindented code",
    "line  \nbreak",
    "line\\\nbreak",
    "[^1]: note [^1]",
    "- [x] task",
    ":smile: @someone #1 GH-1",
    "$x^2$ $$y$$",
    "a\\",
    "\\[x\\](y)",
)
"""Markdown and HTML that must stay text."""

INVISIBLE = (
    "\u202e\u202dreversed\u202c",
    "\u2066isolate\u2069",
    "\u200b\u200c\u200d\u2060\ufeff",
    "\u00ad",
    "\u0000",
    "\u0007\u0008\u001b[31mred",
    "\u0085\u2028\u2029",
    "\ufe0f\U000e0100",
    "\U000e0041\U000e007f",
    "\u115f\u3164\uffa0\u2800",
    "\ue000\U0010fffd",
    "\ufffe\uffff",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034fA\u0334\u0319\u0324\u031eL\u0349\u034dG\u033bO",
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "\ufdfa" * 50,
)
"""Characters that hide, reverse, stack or grow."""

LONG = (
    "x" * 1_000,
    "x " * 5_000,
    "\u0301" * 3_000,
    "(" * 5_000,
    "no " * 3_000,
    "low back pain, " * 2_000,
    "1" * 5_000,
    "9 " * 5_000,
    "a" * 100_000,
    "\n" * 20_000,
    "-" * 10_000,
    "." * 10_000,
    "/" * 10_000,
    "_" * 10_000 + "!",
)
"""Long texts, for patterns and for what is shown."""

DATES = (
    *("2026", "2026-03", "2026-03-16", "2024-13-45", "2026-02-30", "2025-02-29", "0000", "0001"),
    *("0000-00-00", "0001-01-01", "9999-12-31", "9999", "10000-01-01", "-0001-01-01", "2226-01-01"),
    *("2026-03-10T24:00:00Z", "2026-03-10T23:59:60Z", "2026-03-10T10:00:00", "2026-03-10T10:00"),
    *("2026-03-10T10:00:00+99:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"),
    *("2026-03-10T10:00:00.123456789123Z", "20260310", "10/03/2026", "2026-W11-2", "2026-070"),
    *("yesterday", "today", " 2026-03-16 ", "2026-03-16\u0000", "\u0662\u0660\u0662\u0666"),
    *("2026-03-16T10:00:00[UTC]", "2026-03-16t10:00:00z", "1773662400", "NaN", "2026-3-6"),
)

NUMBERS = (
    *(0, -1, 1, 2**31, -(2**31) - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1),
    *(0.0, -0.0, 0.1, 1e-320, 5e-324, 1e308, -1.7976931348623157e308, 1.5e300, 4.35, 1e22),
    10**300,
    10**4_000,
)

IDS = (
    *("Patient/1", "Patient/", "/", "//", "#", "#x", "?", "urn:uuid:x", "urn:oid:1.2.3", "..", "."),
    *("https://other.example/fhir/Patient/1", "Patient/1/_history/2", "Patient?identifier=x|y"),
    *("ServiceRequest/draft-1", "Condition/%2e%2e", "javascript:alert(1)", "file:///etc/passwd"),
    *("https://evil.example/report.pdf", "http://evil.example/", "https://", "https://\u202e/x"),
    *("https://a b/", "https://[::1", "https://x\ny/", "https://user:pw@evil.example/", "x" * 300),
)
"""What may stand in a reference, an id or a URL."""

STRINGS = (
    "",
    " ",
    "\ud800",
    CANARY,
    f"{CANARY} <b>{CANARY}</b>",
    *MARKUP,
    *INVISIBLE,
    *DATES,
    *IDS,
)

PIECES = (
    *(b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"1E+99999", b"1" * 10_000, b"00"),
    *(b"0x1", b"1.", b".5", b"+1", b"-", b"1e", b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"'),
    *(b'"\\x"', b'"\\u12"', b'"\\', b"\xef\xbb\xbf", b"\xff", b"\xc0\xaf", b"\xed\xa0\x80"),
    *(
        b"\xf4\x90\x80\x80",
        b"\x00",
        b"\x1a",
        b"\r\n",
        b"\x85",
        b"\xe2\x80\xa8",
        b"/* x */",
        b"// x",
    ),
    *(b",", b",,", b":", b'"', b"'", b"{", b"}", b"[", b"]", b"[" * 300, b'{"a":' * 300, b"]" * 50),
    *(b"[" * 20_000, b'{"a":' * 20_000, b"null", b"true", b"True", b"undefined", b"{}{}", b'"a":1'),
    *(b'"context":{},', b'"hook":"order-sign",', b'"hook":null,', b'"__proto__":{"x":1},'),
    *(
        b'"\\u0068ook":1,',
        b'"resourceType":"Bundle",',
        b'"entry":[],',
        b'"id":"x",',
        b'"a":1,"a":2,',
    ),
)
"""Bytes to put into a body."""

ENCODINGS = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "utf-8-sig")

HEADER_VALUES = (
    *("", " ", "*", "*/*", CANARY, "a" * 10_000, "\x00", "\x7f", "\xff\xfe", "\xe9", ",,,", ";;;"),
    *("Bearer", "Bearer ", "Bearer  ", "Bearer a.b.c", "Bearer ..", "bearer x", f"Bearer {CANARY}"),
    *(
        "Basic dXNlcjpwdw==",
        "Digest x",
        "Negotiate",
        "Bearer e30.e30.",
        "Bearer eyJhbGciOiJub25lIn0.e30.",
    ),
    *("Bearer " + "A" * 20_000, "Bearer a.b.c.d.e", "Bearer a, Bearer b", "Bearer \xff"),
    *("application/json", "application/json;", "application/json; charset=utf-16", "text/html"),
    *("application/json; charset=\xff", "application/fhir+json", "application/fhir+xml", "json"),
    *(
        "multipart/form-data",
        "multipart/form-data; boundary=" + "x" * 300,
        "application/json, text/html",
    ),
    *("application/x-www-form-urlencoded", "APPLICATION/JSON", "application/json\t", "/", "a/b/c"),
    *("gzip", "identity", "deflate, gzip", "br", "zstd", "IDENTITY", "chunked", "gzip, chunked"),
    *("0", "-1", "1", "99999999999999999999", "1e3", "0x10", "1,1", "+5", "\xb2", "10485761"),
    *("https://evil.example", "null", "bytes=0-0", "max-age=0", 'W/"x"', "100-continue", "close"),
    *("evil.example", "evil.example:99999", "[::1]:80", "127.0.0.1, 10.0.0.1", "for=x;proto=https"),
)

HEADER_NAMES = (
    *("Content-Type", "Content-Encoding", "Content-Length", "Transfer-Encoding", "Authorization"),
    *(
        "Accept",
        "Accept-Encoding",
        "Origin",
        "Host",
        "Range",
        "Expect",
        "Cookie",
        "Referer",
        "If-None-Match",
    ),
    *("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Client-Subject", "Forwarded"),
    *(
        "X-HTTP-Method-Override",
        "Access-Control-Request-Method",
        "User-Agent",
        "X-Request-Id",
        CANARY,
    ),
)

METHODS = (
    "GET",
    "POST",
    "HEAD",
    "OPTIONS",
    "PUT",
    "DELETE",
    "PATCH",
    "TRACE",
    "CONNECT",
    "get",
    "X",
)

PATHS = (
    *(
        "/",
        "/cds-services",
        "/cds-services/",
        "//cds-services",
        "/cds-services//",
        "/health",
        "/metrics",
    ),
    *("/health/live", "/health/ready", "/knowledge/lumbar-mri", "/knowledge/", "/knowledge/../x"),
    *("/cds-services/lumbar-mri-order-select", "/cds-services/lumbar-mri-order-sign"),
    *(
        "/cds-services/lumbar-mri-order-select/feedback",
        "/cds-services/lumbar-mri-order-sign/feedback",
    ),
    *("/cds-services/lumbar-mri-order-select/", "/cds-services/lumbar-mri-order-select/feedback/x"),
    *(
        f"/cds-services/{CANARY}",
        f"/{CANARY}",
        f"/knowledge/{CANARY}",
        "/cds-services/\x00",
        "/%00",
    ),
    *("/cds-services/..%2f..%2fetc", "/cds-services/\xff\xfe", "/cds-services/" + "a" * 5_000, "*"),
    *(
        "/cds-services/lumbar-mri-order-select;x=1",
        "/CDS-SERVICES",
        "/static/x",
        "/favicon.ico",
        "/openapi.json",
    ),
)
