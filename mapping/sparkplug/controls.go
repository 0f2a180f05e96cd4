package sparkplug

import (
	"fmt"
	"slices"
	"strings"
)

// controls are the services of an edge node: the commands that its birth lists.
// birth is the birth's topic.
func controls(p *Payload, birth string, opt *options) map[string]any {
	if !opt.writes {
		return nil
	}
	topic := strings.Replace(birth, "/NBIRTH/", "/NCMD/", 1)
	send := func(metric, t, value string) map[string]any {
		return map[string]any{"topic": topic, "qos": "0", "payload": fmt.Sprintf("${sparkplugCommand([%q, %q], %s, now)}", metric, t, value)}
	}
	services := map[string]any{}
	for i := range p.Metrics {
		switch m := &p.Metrics[i]; {
		case m.Name == rebirthName:
			services["Rebirth"] = map[string]any{
				"description": "asks the edge node to announce itself and its devices anew; ends with its birth",
				"request":     send(rebirthName, "Boolean", "true"),
				"reply":       map[string]any{"topic": birth, "serial": true},
			}
		case m.Name == rebootName:
			services["Reboot"] = map[string]any{"description": "restarts the edge node; ends once the command is sent", "request": send(rebootName, "Boolean", "true")}
		case m.Name == nextServerName:
			services["NextServer"] = map[string]any{
				"description": "has the edge node go to its next broker; ends once the command is sent", "request": send(nextServerName, "Boolean", "true"),
			}
		case slices.Contains(scanRateNames, m.Name) && baseType(m.Type, false) != "":
			services["ScanRate"] = map[string]any{
				"description": "sets how often the edge node reads its devices; ends once the command is sent",
				"inputs":      map[string]any{"value": map[string]any{"type": baseType(m.Type, false), "required": true}},
				"request":     send(m.Name, m.Type.String(), "inputs.value"),
			}
		}
	}
	return services
}
