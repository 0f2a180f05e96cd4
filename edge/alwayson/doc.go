package alwayson
