# A kubelet that comes back when it ends, as a service manager would have it. kubeadm writes what it waits for.
cd /
while :; do
  if [ -s /var/lib/kubelet/config.yaml ] && [ -s /var/lib/kubelet/kubeadm-flags.env ]; then
    . /var/lib/kubelet/kubeadm-flags.env
    # shellcheck disable=SC2086 # a list of arguments
    "$1" --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf \
      --config=/var/lib/kubelet/config.yaml $KUBELET_KUBEADM_ARGS || true
  fi
  sleep 0.3
done
