enable f16;
struct P{
threads:u32,
n:u32,
inner:u32,
offset:u32,
step:u32,
exclusive:u32,
}
@group(0)@binding(0)var<uniform>p:P;
fn thread(id:vec3u)->u32{
return id.y*4194240u+id.x;
}
alias real=f16;
alias real4=vec4<real>;
alias Element=real;
alias Sum=f32;
@group(0)@binding(1)var<storage,read>x:array<Element>;
@group(0)@binding(2)var<storage,read_write>y:array<Element>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id)id:vec3u){
let i=thread(id);
if(i>=p.threads){return;}
var at=i/p.inner*p.n*p.inner+i%p.inner+p.offset;
var sum=Sum();
for(var k=0u;k<p.n;k++){
let next=sum+Sum(x[at]);
y[at]=Element(select(next,sum,p.exclusive!=0u));
sum=next;
at+=p.step;
}
}
