// Telegraf, which make bench FULL=1 builds to measure beside the bridge. Nothing
// of the bridge needs it.
module thingbridge/integration/bench/telegraf

go 1.26

require github.com/influxdata/telegraf v1.37.2
