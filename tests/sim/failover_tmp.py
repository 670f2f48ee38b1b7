"""tmp"""
import sys
from tests.sim.options import draw
from tests.sim.run import run
from tests.sim.report import _times
st=[];n=0;bad=[]
for s in range(int(sys.argv[1]),int(sys.argv[2])):
    if draw(s).is_failover:
        n+=1; r=run(s); st+=r.stalls
        if r.problem: bad.append((s,r.problem))
print(n,_times(st)); print(bad)
