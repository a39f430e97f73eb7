while sleep 60; do
  now=$(cksum </mosquitto/tls/tls.crt)
  if [ "$now" != "${known:-$now}" ]; then kill -HUP $$; fi
  known=$now
done &
exec mosquitto -c /mosquitto/config/mosquitto.conf
