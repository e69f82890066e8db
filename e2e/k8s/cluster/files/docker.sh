#!/bin/sh
# Stands before the engine's own command, for kind, on a machine that lacks CAP_SYS_RESOURCE: the engine then cannot
# start a privileged container, which gets every capability there is. This asks for the same without that one; a command
# in such a container has what the container has.
case $1 in
run | exec)
  kind=$1 count=$#
  while [ "$count" -gt 0 ]; do
    argument=$1
    shift
    if [ "$argument" = --privileged ] && [ "$kind" = exec ]; then
      :
    elif [ "$argument" = --privileged ]; then
      set -- "$@" --cap-add=ALL --cap-drop=SYS_RESOURCE --security-opt=systempaths=unconfined \
        '--device-cgroup-rule=a *:* rwm' --device=/dev/kmsg
    else
      set -- "$@" "$argument"
    fi
    count=$((count - 1))
  done
  ;;
esac
exec "$DOCKER_COMMAND" "$@"
