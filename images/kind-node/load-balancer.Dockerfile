# kind gives every cluster with several control planes a load balancer, under an image name that is compiled in. Nothing
# in the tests goes through it.
ARG ROOT
FROM ${ROOT}
STOPSIGNAL SIGUSR1
# Without CAP_SYS_RESOURCE haproxy cannot raise its limit of open files.
ENTRYPOINT ["haproxy", "-W", "-db", "-n", "4000", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
