-- For wrk: each request bears the next token of a file. Arguments: method, path, file of tokens, JSON body.
local requests, turn = {}, 0

function init(args)
  local headers = {}
  if args[4] then headers["Content-Type"] = "application/json" end
  for token in io.lines(args[3]) do
    headers["Authorization"] = "Bearer " .. token
    requests[#requests + 1] = wrk.format(args[1], args[2], headers, args[4])
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "p50_us": %d, "p99_us": %d, "errors": '
      .. '{"connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d}}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
