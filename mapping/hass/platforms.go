package hass

// platforms says for each platform what becomes of a component of it.
var platforms map[string]func(*component)

func init() {
	platforms = map[string]func(*component){
		"sensor": (*component).sensor, "binary_sensor": (*component).binarySensor, "event": (*component).event,
		"device_tracker": (*component).tracker, "device_automation": (*component).trigger, "tag": (*component).tag,
		"image": (*component).image, "camera": (*component).image,
		"switch": (*component).onOff, "siren": (*component).siren, "lock": (*component).lock, "fan": (*component).fan,
		"light": (*component).light, "number": (*component).number, "select": (*component).choice, "text": (*component).input,
		"date": (*component).input, "time": (*component).input, "datetime": (*component).input,
		"button": (*component).button, "scene": (*component).scene, "notify": (*component).notify, "update": (*component).update,
		"cover": (*component).cover, "valve": (*component).valve, "vacuum": (*component).vacuum, "lawn_mower": (*component).mower,
		"climate": (*component).climate, "water_heater": (*component).heater, "humidifier": (*component).humidifier,
		"alarm_control_panel": (*component).alarm,
	}
}
