#!/bin/sh
# Runs the two SLURM recipes of docs/cohorts.md on this machine alone, with a real slurmctld and slurmd:
#
#   apt-get install slurmctld slurmd slurm-client munge
#   packaging/cohorts/slurm_here.sh FOLDER
#
# as root, in a container or a virtual machine: munge is given a key, and SLURM's daemons run until the script ends.
# FOLDER holds LIST.csv; nnUNet_results holds a trained Dataset501. The recipes are taken from the page as they are;
# options of sbatch make them fit one machine without a GPU, and 4 parts of 16 are run.
set -eu
page=$(dirname "$(realpath "$0")")/../../docs/cohorts.md
cd "$1"
mkdir -p slurm/state slurm/spool

[ -s /etc/munge/munge.key ] || mungekey --create
mkdir -p /run/munge && chown munge: /run/munge /etc/munge/munge.key
pgrep -x munged > /dev/null || setpriv --reuid munge --regid munge --init-groups munged
cat > slurm/slurm.conf <<CONF
ClusterName=here
SlurmctldHost=$(hostname -s)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
StateSaveLocation=$PWD/slurm/state
SlurmdSpoolDir=$PWD/slurm/spool
SlurmctldPidFile=$PWD/slurm/slurmctld.pid
SlurmdPidFile=$PWD/slurm/slurmd.pid
NodeName=$(hostname -s) CPUs=$(getconf _NPROCESSORS_ONLN) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
export SLURM_CONF="$PWD/slurm/slurm.conf"
slurmctld -D > slurm/slurmctld.log 2>&1 & controller=$!
slurmd -D > slurm/slurmd.log 2>&1 & node=$!
trap 'kill $node $controller' EXIT
until sinfo -h -o %T 2> /dev/null | grep -q idle; do sleep 1; done
sinfo

recipe() { # the sh block of the page that holds a text
    awk -v text="$1" '/^```sh/ { block = ""; on = 1; next } /^```/ { if (on && index(block, text)) printf "%s", block; on = 0 } on { block = block $0 "\n" }' "$page"
}
recipe symmetric-run > symmetric.sh
recipe "--array" > array.sh
fit="--nodes=1 --cpus-per-task=$(getconf _NPROCESSORS_ONLN) --export=ALL"
sed -i '/^#SBATCH/s/--gpus[-a-z]*=[0-9]*//' symmetric.sh array.sh # there is none
# shellcheck disable=SC2086
sbatch --wait $fit --output=symmetric.log symmetric.sh || echo "ended with $?"
rm -rf OUT.symmetric && mv OUT OUT.symmetric
sed -i 's/--num-parts 16/--num-parts 4/' array.sh
sbatch --wait --nodes=1 --cpus-per-task=1 --array=0-3 --output=array_%a.log array.sh || echo "ended with $?"
grep -h "scans written" symmetric.log array_*.log
