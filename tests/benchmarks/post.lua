-- wrk: POST hook calls, each with a hookInstance (and a client token) of its own.
-- Arguments: file of names, path of the service, run (8 hex digits), tokens file or "-".
-- The file of names holds, a line each, the files that hold the two halves of a body. Lines are
-- sent in turn.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

local function content(name)
  local file = assert(io.open(name, "rb"), "cannot read " .. name)
  local text = file:read("*a")
  file:close()
  return text
end

local calls = {}
local next_token
local run
local sent = 0
ran_out = 0

function init(args)
  run = args[3]
  if args[4] ~= "-" then
    next_token = io.lines(args[4])
  end
  local cache = {}
  for line in io.lines(args[1]) do
    if not cache[line] then
      local before, after = line:match("^(%S+) (%S+)$")
      local first, last = content(before), content(after)
      local head = "POST " .. args[2] .. " HTTP/1.1\r\nHost: cds.example\r\n" ..
        "Content-Type: application/json\r\nContent-Length: " .. (#first + 36 + #last) .. "\r\n"
      cache[line] = { head = head, before = "\r\n" .. first, after = last }
    end
    table.insert(calls, cache[line])
  end
end

function request()
  local call = calls[sent % #calls + 1]
  sent = sent + 1
  local instance = string.format("%s-0000-4000-8000-%012x", run, sent)
  local token = ""
  if next_token then
    local one = ran_out == 0 and next_token()
    if one then
      token = "Authorization: Bearer " .. one .. "\r\n"
    else
      ran_out = ran_out + 1
    end
  end
  return call.head .. token .. call.before .. instance .. call.after
end

function done(summary, latency, requests)
  local without = 0
  for _, thread in ipairs(threads) do
    without = without + thread:get("ran_out")
  end
  local e = summary.errors
  print(string.format(
    'RESULT {"calls": %d, "microseconds": %d, "bad_status": %d, "broken": %d, "timeouts": %d,' ..
    ' "without_token": %d, "p50": %.1f, "p95": %.1f, "p99": %.1f}',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write, e.timeout,
    without, latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
