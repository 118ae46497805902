-- wrk -s post.lua URL -- FOLDER COUNT [NAME VALUE]…
-- Posts the files FOLDER/1 … FOLDER/COUNT in turn with the given headers, and ends with one line of JSON.
local requests, position = {}, 0

function init(args)
  wrk.method = "POST"
  for index = 3, #args, 2 do
    wrk.headers[args[index]] = args[index + 1]
  end
  for number = 1, tonumber(args[2]) do
    local file = assert(io.open(args[1] .. "/" .. number, "rb"))
    requests[number] = wrk.format(nil, nil, nil, file:read("*a"))
    file:close()
  end
end

function request()
  position = position % #requests + 1
  return requests[position]
end

function done(summary, latency)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  local line = '{"requests": %d, "seconds": %.6f, "refused": %d, "lost": %d, "p50_ms": %.4f, "p99_ms": %.4f}\n'
  io.write(line:format(summary.requests, summary.duration / 1e6, errors.status, lost,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
