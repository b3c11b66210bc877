struct P{
threads:u32,
n:u32,
step:u32,
stepA:u32,
stepB:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias Word=u32;
@group(0)@binding(1)var<storage,read>condition:array<u32>;
@group(0)@binding(2)var<storage,read>a:array<Word>;
@group(0)@binding(3)var<storage,read>b:array<Word>;
@group(0)@binding(4)var<storage,read_write>y:array<Word>;
fn spread(word:u32,step:u32)->u32{
return select((word&255u)*0x1010101u,word,step!=0u);
}
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
let holds=spread(condition[i*p.step],p.step);
let end=min(4u*i+4u,p.n);
for(var k=4u*i;k<end;k++){
y[k]=select(b[k*p.stepB],a[k*p.stepA],((holds>>(8u*(k&3u)))&1u)==1u);
}
}
