-- Makes wrk cycle over prebuilt bodies.
-- usage: wrk ... -s cycle.lua URL -- BODIES CONTENT_TYPE
-- BODIES holds each body behind a line with its length in bytes. The last line printed is the result as JSON.

local prebuilt = {}
local position = 0

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  local headers = { ["Content-Type"] = arguments[2] }
  local length = file:read("*n")
  while length do
    file:read(1)
    prebuilt[#prebuilt + 1] = wrk.format("POST", nil, headers, file:read(length))
    length = file:read("*n")
  end
  file:close()
end

function request()
  position = position % #prebuilt + 1
  return prebuilt[position]
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "refused": %d, "broken": %d, "timeouts": %d, "microseconds": %d, "p50": %d, "p99": %d}',
    summary.requests, errors.status, errors.connect + errors.read + errors.write, errors.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end
