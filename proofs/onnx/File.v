(** * The network in an ONNX file

    - [float_at]: the binary32 number that stands in four bytes of a file, little-endian;
    - [node]: an operator of the file, which reads earlier ones by their numbers, and its weights where
      they stand in the file, by the number of their first byte;
    - [network_of_file]: its units, in the order in which a runtime holds tensors.

    These are definitions, to be read: the theorem about a file speaks of the network that they make
    of it. A convolution's units are those of operations/Convolution.v. *)

From Coq Require Import Reals List ZArith NArith Uint63.
From Flocq Require Import Core.
From Lastbit Require Import Statement operations.Convolution.
Import ListNotations.
Open Scope R_scope.

(** ** Numbers in a file *)

(** Units of 2^-149, of which every binary32 number is a multiple. *)
Definition ulps (z : Z) : R := IZR z * bpow radix2 (-149).

Definition byte (file : list int) (at_ : N) : Z := to_Z (nth (N.to_nat at_) file 0%uint63).

Definition word (file : list int) (at_ : N) : Z :=
  (byte file at_ + 2 ^ 8 * byte file (at_ + 1) + 2 ^ 16 * byte file (at_ + 2) + 2 ^ 24 * byte file (at_ + 3))%Z.

(** Sign, exponent (8 bits), fraction (23 bits): the number in units of 2^-149. (Infinities and NaN
    would be read as numbers beyond the range.) *)
Definition units_of_word (w : Z) : Z :=
  let e := (w / 2 ^ 23 mod 2 ^ 8)%Z in let f := (w mod 2 ^ 23)%Z in
  ((if w <? 2 ^ 31 then 1 else -1) * (if e =? 0 then f else (2 ^ 23 + f) * 2 ^ (e - 1)))%Z.

(** The [n]-th float from byte [at_] on, in units of 2^-149, and as a real number. *)
Definition units_at (file : list int) (at_ : N) (n : nat) : Z := units_of_word (word file (at_ + 4 * N.of_nat n)).
Definition float_at (file : list int) (at_ : N) (n : nat) : R := ulps (units_at file at_ n).

(** ** Operators *)

Inductive node :=
| Bytes (c h w : nat)                             (* the image *)
| Divide (x : nat) (at_ : N)                      (* by one number for each channel *)
| Conv (x : nat) (weights_at bias_at : N) (outputs groups rows cols stride_y stride_x top left h w : nat)
| Average (x : nat)                               (* over height and width *)
| Curve (x : nat)                                 (* SiLU *)
| Squash (x : nat)                                (* sigmoid *)
| Times (x s : nat)                               (* [s] holds one number for each channel *)
| Plus (x y : nat).

Definition inputs (n : node) : list nat :=
  match n with
  | Bytes _ _ _ => []
  | Divide x _ | Conv x _ _ _ _ _ _ _ _ _ _ _ _ | Average x | Curve x | Squash x => [x]
  | Times x s => [x; s]
  | Plus x y => [x; y]
  end.

Definition nowhere : tensor := {| first := 0; channels := 0; height := 0; width := 0 |}.
Definition at_place (first : nat) (t : tensor) : tensor :=
  {| first := first; channels := channels t; height := height t; width := width t |}.

(** The tensor of an operator whose units begin at [next]; [ts] are the tensors before it. *)
Definition tensor_of (ts : list tensor) (next : nat) (n : node) : tensor :=
  match n with
  | Bytes c h w => {| first := next; channels := c; height := h; width := w |}
  | Conv _ _ _ outputs _ _ _ _ _ _ _ h w => {| first := next; channels := outputs; height := h; width := w |}
  | Average x => {| first := next; channels := channels (nth x ts nowhere); height := 1; width := 1 |}
  | Divide x _ | Curve x | Squash x | Times x _ | Plus x _ => at_place next (nth x ts nowhere)
  end.

(** Tensor after tensor. *)
Fixpoint place (ts : list tensor) (next : nat) (ns : list node) : list tensor :=
  match ns with
  | [] => ts
  | n :: ns' => let t := tensor_of ts next n in place (ts ++ [t]) (units_of t + next) ns'
  end.

Definition layout (ns : list node) : list tensor := place [] 0 ns.

Definition area (t : tensor) : nat := (height t * width t)%nat.

(** One unit for each unit [i] of [t], from its channel and its number. *)
Definition each (t : tensor) (f : nat -> nat -> operation) : list operation :=
  map (fun i => f (i / area t)%nat (first t + i)%nat) (seq 0 (units_of t)).

Section Network.
Variable file : list int.

(** Weights stand row by row, [(o, i, a, b)]; [per] input channels to a group. *)
Definition kernel_at (per : nat) (weights_at bias_at : N) (outputs groups rows cols stride_y stride_x top left : nat) : kernel := {|
  weights o i a b := float_at file weights_at (((o * per + i) * rows + a) * cols + b);
  bias o := float_at file bias_at o;
  Convolution.outputs := outputs; Convolution.groups := groups; Convolution.rows := rows; Convolution.cols := cols;
  Convolution.stride_y := stride_y; Convolution.stride_x := stride_x; Convolution.top := top; Convolution.left := left |}.

Definition units_of_node (ts : list tensor) (n : node) : list operation :=
  let at_ x := nth x ts nowhere in
  match n with
  | Bytes c h w => map Pixel (seq 0 (c * h * w))
  | Divide x d => each (at_ x) (fun c j => Quotient j (float_at file d c))
  | Conv x weights_at bias_at outputs groups rows cols stride_y stride_x top left h w =>
      convolution (at_ x) (kernel_at (channels (at_ x) / groups) weights_at bias_at outputs groups rows cols stride_y stride_x top left) h w
  | Average x => map (fun c => Mean (map (fun i => (first (at_ x) + (c * area (at_ x) + i))%nat) (seq 0 (area (at_ x)))))
                     (seq 0 (channels (at_ x)))
  | Curve x => each (at_ x) (fun _ j => Silu j)
  | Squash x => each (at_ x) (fun _ j => Sigmoid j)
  | Times x s => each (at_ x) (fun c j => Gate j (first (at_ s) + c))
  | Plus x y => map (fun i => Add (first (at_ x) + i) (first (at_ y) + i)) (seq 0 (units_of (at_ x)))
  end.

(** The units of operator [i]. *)
Definition tensor_units (ns : list node) (i : nat) : list nat :=
  let t := nth i (layout ns) nowhere in seq (first t) (units_of t).

(** The operators from the image, which is the first, to the logits, which are the last. *)
Definition network_of_file (ns : list node) : network := {|
  pixels := units_of (nth 0 (layout ns) nowhere);
  units := flat_map (units_of_node (layout ns)) ns;
  logits := tensor_units ns (Nat.pred (length ns)) |}.
End Network.
