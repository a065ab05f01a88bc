(** * What lastbit proves

    The definitions that a reader has to believe, and nothing else: float32 arithmetic as a set of
    possible results, a network, its executions, neighbouring images, and the statement. They follow
    docs/bound.md, sections 1 and 2, and contain no proof.

    A network is written unit by unit: each unit (one number that a layer computes) names the units
    it reads, all of them before it. operations/Convolution.v writes a convolution this way.
    Whatever a runtime returns is a value of the relations below; they allow more than any runtime
    does, and the theorems hold for everything that they allow. *)

From Coq Require Import Reals List ZArith Permutation.
Import ListNotations.
Open Scope R_scope.

(** ** 1. Arithmetic (assumption [any-order-binary32]) *)

Definition u : R := / 2 ^ 24.             (* unit roundoff of binary32 *)
Definition eta : R := / 2 ^ 126.          (* the least normal number *)
Definition largest : R := (2 - / 2 ^ 23) * 2 ^ 127.  (* the largest finite number *)

(** A computed value is a real number, or infinite or not a number. *)
Inductive value := Finite (r : R) | Overflow.

(** One operation, whose exact result is [t], returns [v]: finite where [t] is in range, and then
    within [u |t| + eta]. Round to nearest with any ties, flush to zero and every wider format do
    this (binary32/Rounding.v). Nothing is known of [v] if [t] is out of range. *)
Definition rounds (t : R) (v : value) : Prop :=
  Rabs t <= largest -> exists r, v = Finite r /\ Rabs (r - t) <= u * Rabs t + eta.

(** An operand may be read as 0 if it is subnormal. *)
Definition reads (x x' : R) : Prop := x' = x \/ (x' = 0 /\ Rabs x <= eta).

(** [f] of two operands, rounded. Nothing is known of it if an operand is not finite. *)
Definition computes (f : R -> R -> R) (a b v : value) : Prop :=
  forall p q, a = Finite p -> b = Finite q ->
  exists p' q', reads p p' /\ reads q q' /\ rounds (f p' q') v.

(** The fused [w * x + a]. *)
Definition computes_fma (w x : R) (a v : value) : Prop :=
  forall p, a = Finite p ->
  exists w' x' p', reads w w' /\ reads x x' /\ reads p p' /\ rounds (w' * x' + p') v.

(** The product of [w] and [x]. A power of two moves the exponent and keeps the digits: what it is
    multiplied with comes back exactly, unless it underflows. *)
Definition power_of_two (w : R) : Prop := exists k : Z, Rabs w = powerRZ 2 k.

Definition multiplies (w x : R) (v : value) : Prop :=
  exists w' x', reads w w' /\ reads x x' /\ rounds (w' * x') v /\
  (power_of_two w -> Rabs (w' * x') <= largest -> exists r, v = Finite r /\ Rabs (r - w' * x') <= eta).

(** The copy of an operand: what adding an exact 0 to it returns. *)
Definition copies (a v : value) : Prop :=
  forall p, a = Finite p -> exists p', reads p p' /\ v = Finite p'.

(** A sum of products and constants. *)
Inductive term := Product (w x : R) | Constant (b : R).

Definition exact (t : term) : R := match t with Product w x => w * x | Constant b => b end.
Definition vanishes (t : term) : Prop := exact t = 0.
Definition all_vanish (l : list term) : Prop := Forall vanishes l.

(** It is evaluated by any tree, in any order, with or without fused multiply-add. A term that is
    exactly 0 takes part without rounding, and so do any number of further zeros. *)
Inductive sum : list term -> value -> Prop :=
| sum_zeros l : all_vanish l -> sum l (Finite 0)
| sum_constant b v : copies (Finite b) v -> sum [Constant b] v
| sum_product w x v : w * x <> 0 -> multiplies w x v -> sum [Product w x] v
| sum_add l1 l2 a b v : ~ all_vanish l1 -> ~ all_vanish l2 -> sum l1 a -> sum l2 b ->
    computes Rplus a b v -> sum (l1 ++ l2) v
| sum_fma w x l a v : w * x <> 0 -> ~ all_vanish l -> sum l a -> computes_fma w x a v ->
    sum (Product w x :: l) v
| sum_more_zeros l z a v : all_vanish z -> sum l a -> copies a v -> sum (z ++ l) v
| sum_any_order l l' v : Permutation l l' -> sum l v -> sum l' v.

(** [a / b], rounded. Nothing is known of it if the divisor is 0 or subnormal. *)
Definition computes_quotient (a b v : value) : Prop :=
  forall p q, a = Finite p -> b = Finite q -> eta < Rabs q ->
  exists p', reads p p' /\ rounds (p' / q) v.

(** [a / b], or [a] times the rounded reciprocal of [b]. *)
Definition divides (a b v : value) : Prop :=
  computes_quotient a b v \/
  exists i, computes_quotient (Finite 1) b i /\ computes Rmult a i v.

(** [a] divided by the number [c]. A power of two with a normal reciprocal keeps the digits, either
    way: the quotient is exact, unless it underflows. *)
Definition divides_by (c : R) (a v : value) : Prop :=
  divides a (Finite c) v /\
  (power_of_two c -> eta < Rabs c <= / eta -> forall p, a = Finite p ->
   exists p', reads p p' /\ (Rabs (p' / c) <= largest -> exists r, v = Finite r /\ Rabs (r - p' / c) <= eta)).

(** ** 2. The functions of a runtime's library (the other four assumptions) *)

Definition sigmoid (z : R) : R := / (1 + exp (- z)).
Definition silu (z : R) : R := z * sigmoid z.

(** A library's [f], within [far]; where [|z| <= 2^-6] within [near], and where [|z| <= 2^-27]
    within [at_zero]. *)
Definition approximates (f far near at_zero : R -> R) (a v : value) : Prop :=
  forall z, a = Finite z -> exists r, v = Finite r /\ Rabs (r - f z) <= far z /\
                            (Rabs z <= / 2 ^ 6 -> Rabs (r - f z) <= near z) /\
                            (Rabs z <= / 2 ^ 27 -> Rabs (r - f z) <= at_zero z).

(** [sigmoid-absolute-4u-2u-u/16] *)
Definition computes_sigmoid : value -> value -> Prop :=
  approximates sigmoid (fun _ => 4 * u) (fun _ => 2 * u) (fun _ => u / 16).

(** [silu-absolute-6u|z|-3u|z|-u|z|/16] *)
Definition computes_silu : value -> value -> Prop :=
  approximates silu (fun z => 6 * u * Rabs z + eta) (fun z => 3 * u * Rabs z + eta)
                    (fun z => u / 16 * Rabs z + eta).

(** [exp-relative-2^-20], of arguments that are not positive *)
Definition computes_exp (a v : value) : Prop :=
  forall t, a = Finite t -> t <= 0 /\
  exists r, v = Finite r /\ Rabs (r - exp t) <= / 2 ^ 20 * exp t + eta.

(** [softmax-max-subtracted]: the [n] logits [z] to the probabilities [p], by the differences [d]
    from the largest logit, their exponentials [e] and the sum [s] of these. No [p] exceeds 1. *)
Definition computes_softmax (n : nat) (z p : nat -> value) : Prop :=
  exists k d e s,
    (k < n)%nat /\
    (forall j a b, (j < n)%nat -> z j = Finite a -> z k = Finite b -> a <= b) /\
    (forall j, (j < n)%nat -> computes Rminus (z j) (z k) (d j) /\ computes_exp (d j) (e j)) /\
    (forall r, (forall j, (j < n)%nat -> e j = Finite (r j)) ->
               sum (map (fun j => Constant (r j)) (seq 0 n)) s) /\
    (forall j, (j < n)%nat -> divides (e j) s (p j)) /\
    (forall j r, (j < n)%nat -> p j = Finite r -> 0 <= r <= 1).

(** ** 3. Networks and their executions *)

(** One unit. Its operands are the numbers of earlier units. *)
Inductive operation :=
| Pixel (p : nat)                                (* a byte of the image, as a float *)
| Linear (ws : list (R * nat)) (bs : list R)     (* sum of w * unit, and of constants *)
| Quotient (j : nat) (c : R)                     (* unit / c *)
| Mean (js : list nat)                           (* of the units *)
| Sigmoid (j : nat)
| Silu (j : nat)
| Gate (j s : nat)                               (* product of two units *)
| Add (i j : nat).

Definition operands (o : operation) : list nat :=
  match o with
  | Pixel _ => []
  | Linear ws _ => map snd ws
  | Quotient j _ | Sigmoid j | Silu j => [j]
  | Mean js => js
  | Gate i j | Add i j => [i; j]
  end.

Definition products (ws : list (R * nat)) (r : nat -> R) : list term :=
  map (fun wj => Product (fst wj) (r (snd wj))) ws.

(** Unit [o] computes [y] from the byte image [v] and the values [x] of the units before it. *)
Definition performs (o : operation) (v : nat -> Z) (x : nat -> value) (y : value) : Prop :=
  match o with
  | Pixel p => y = Finite (IZR (v p))
  | Linear ws bs => forall r, (forall j, In j (map snd ws) -> x j = Finite (r j)) ->
                    sum (products ws r ++ map Constant bs) y
  | Quotient j c => divides_by c (x j) y
  | Mean js => forall r, (forall j, In j js -> x j = Finite (r j)) ->
               exists s, sum (map (fun j => Constant (r j)) js) s /\
                         divides_by (INR (length js)) s y
  | Sigmoid j => computes_sigmoid (x j) y
  | Silu j => computes_silu (x j) y
  | Gate i j => computes Rmult (x i) (x j) y
  | Add i j => computes Rplus (x i) (x j) y
  end.

(** The units in an order in which they can be computed, and which of them are the logits. *)
Record network := { pixels : nat; units : list operation; logits : list nat }.

(** One run on the image [v]: the values [x] of all units and the probabilities [p]. *)
Definition execution (net : network) (v : nat -> Z) (x p : nat -> value) : Prop :=
  (forall k o, nth_error (units net) k = Some o -> performs o v x (x k)) /\
  computes_softmax (length (logits net)) (fun c => x (nth c (logits net) 0%nat)) p.

(** ** 4. The statement *)

Definition image (v : nat -> Z) : Prop := forall p, (0 <= v p <= 255)%Z.

(** [v'] differs from [v] in the last bit of pixel [q], and nowhere else. *)
Definition neighbours (q : nat) (v v' : nat -> Z) : Prop :=
  v' q = Z.lxor (v q) 1 /\ forall p, p <> q -> v' p = v p.

(** In every run on every image all values and probabilities are finite. *)
Definition always_finite (net : network) : Prop :=
  forall v x p, image v -> execution net v x p ->
  (forall k, (k < length (units net))%nat -> exists r, x k = Finite r) /\
  (forall c, (c < length (logits net))%nat -> exists r, p c = Finite r).

(** For all neighbouring images and any two runs on them, on any two machines, no probability
    changes by more than [U]. *)
Definition last_bit_bound (net : network) (U : R) : Prop :=
  forall v v' q x x' p p' c y y',
  image v -> (q < pixels net)%nat -> neighbours q v v' ->
  execution net v x p -> execution net v' x' p' ->
  (c < length (logits net))%nat -> p c = Finite y -> p' c = Finite y' ->
  Rabs (y' - y) <= U.
