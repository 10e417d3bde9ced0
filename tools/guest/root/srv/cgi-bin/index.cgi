#!/bin/sh
read uptime rest < /proc/uptime
printf 'Content-Type: text/plain\r\n\r\n%s is up for %s s\n' "$(hostname)" "$uptime"
