package config

import "time"

// Default gives the value of every key that is not set. It is the only place
// where a default stands; sample.yaml and docs/configuration.md are compared
// with it by tests.
func Default() Config {
	return Config{
		Platform: Platform{
			PingInterval:   20 * time.Second,
			MaxMessage:     1 << 20,
			Chunk:          8 << 10,
			RequestTimeout: 30 * time.Second,
			TLS:            defaultTLS(),
		},
		MQTT: MQTT{
			KeepAlive:      30 * time.Second,
			ConnectTimeout: 10 * time.Second,
			TLS:            defaultTLS(),
		},
		Outbox: Outbox{
			MaxBytes:   512 << 20,
			MaxAge:     7 * 24 * time.Hour,
			WhenFull:   DropOldest,
			ReplayRate: 2000,
			HoldMax:    10000,
		},
		Limits: Limits{
			Things:                 100000,
			AnnouncementsPerSecond: 10000,
			PayloadBytes:           1 << 20,
			ValuesPerMessage:       1000,
			DefinitionsPerThing:    1000,
			Calls:                  1024,
			CallsPerThing:          16,
			WaitingPerThing:        1000,
			CallTimeout:            10 * time.Second,
		},
		Provision: Provision{Template: "RemoteThing"},
		Console:   Console{Listen: "127.0.0.1:8480"},
		REST: REST{
			TLS:        ServerTLS{MinVersion: TLS12},
			EdgeThings: EdgeThings{Max: 1000, TLS: defaultTLS()},
		},
		Log: Log{Level: LogInfo, Format: LogAuto},
	}
}

func defaultTLS() TLS { return TLS{Verify: true, MinVersion: TLS12} }
