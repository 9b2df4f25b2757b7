-- Drives POST /events/logins with wrk. Arguments: name of the round, logins in a request, API key.
local threads, counter = {}, 0
local stamp = os.date("!%Y-%m-%dT%H:%M:%SZ")

function setup(thread)
  counter = counter + 1
  thread:set("id", counter)
  table.insert(threads, thread)
end

function init(args)
  round, size, key = args[1], tonumber(args[2]), args[3]
  made, taken, bad = 0, 0, 0
end

local function login()
  made = made + 1
  local user = (made * 6007 + id * 911) % 2000
  return string.format('{"event_id":"%s-%d-%d","crm_user_id":"u%d","organization_id":"org-1","product_id":"bench",' ..
    '"occurred_at":"%s","email":"u%d@example.com","name":"User %d","job_title":"CTO"}',
    round, id, made, user, stamp, user, user)
end

function request()
  local logins = {}
  for i = 1, size do logins[i] = login() end
  local body = size == 1 and logins[1] or "[" .. table.concat(logins, ",") .. "]"
  local headers = {["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. key}
  return wrk.format("POST", "/events/logins", headers, body)
end

function response(status, _, body)
  local accepted = tonumber(string.match(body, '"accepted":%s*(%d+)')) or 0
  if status ~= 202 or accepted ~= size then bad = bad + 1 end
  taken = taken + accepted
end

function done(summary, latency)
  local all, wrong = 0, 0
  for _, thread in ipairs(threads) do
    all, wrong = all + thread:get("taken"), wrong + thread:get("bad")
  end
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %.0f\n", summary.requests, summary.duration, all,
    wrong + e.connect + e.read + e.write + e.timeout, latency:percentile(99)))
end
